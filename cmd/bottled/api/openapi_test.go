package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	openAPIFile = "../../../docs/reference/openapi.yaml"
	// schemasMark ends the part of the file that is written by hand.
	schemasMark = "  schemas: # made of the Go types by go test ./cmd/bottled/api -update\n"
)

// openAPI is what the test reads of the file.
type openAPI struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema map[string]any `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]any `json:"schemas"`
	} `json:"components"`
}

// schemas returns the schemas of all bodies, made of their types.
func schemas(t *testing.T) map[string]any {
	t.Helper()
	reflector := jsonschema.Reflector{Anonymous: true, Namer: func(of reflect.Type) string {
		if of.Name() == "" {
			return ""
		}
		return strings.ToUpper(of.Name()[:1]) + of.Name()[1:]
	}}
	all := map[string]any{}
	for _, v := range []any{
		reconciler.Status{},
		eventsAnswer{},
		reconciler.Activity{},
		reconciler.BottleTraffic{},
		proposalsAnswer{},
		reconciler.Review{},
		decisionBody{},
		allowBody{},
		changeAnswer{},
		reconciler.RollbackRequest{},
		linkRequest{},
		linkAnswer{},
		syncAnswer{},
	} {
		text, err := json.Marshal(reflector.Reflect(v))
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Defs map[string]any `json:"$defs"`
		}
		if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("#/$defs/"), []byte("#/components/schemas/")), &schema); err != nil {
			t.Fatal(err)
		}
		for name, one := range schema.Defs {
			all[name] = one
		}
	}
	return all
}

func readOpenAPI(t *testing.T) (text string, file openAPI) {
	t.Helper()
	data, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return string(data), file
}

// TestOpenAPISchemas: the file's schemas are those of the types.
func TestOpenAPISchemas(t *testing.T) {
	text, _ := readOpenAPI(t)
	written, _, found := strings.Cut(text, schemasMark)
	if !found {
		t.Fatalf("%s has no line %q", openAPIFile, schemasMark)
	}
	made, err := yaml.Marshal(schemas(t))
	if err != nil {
		t.Fatal(err)
	}
	want := written + schemasMark + regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimRight(string(made), "\n"), "    ") + "\n"
	golden.Check(t, openAPIFile, want)
}

// TestOpenAPIPaths: each handler is in the file, and nothing else.
func TestOpenAPIPaths(t *testing.T) {
	_, file := readOpenAPI(t)
	var documented []string
	for path, methods := range file.Paths {
		for method, operation := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			if len(operation.Responses) == 0 {
				t.Errorf("%s %s has no answers", method, path)
			}
		}
	}
	s := &Server{o: Options{Source: nil}, pace: defaultPace}
	s.routes(newBoundedListener(nil, unixBudget), view{})
	slices.Sort(documented)
	slices.Sort(s.patterns)
	if !slices.Equal(documented, s.patterns) {
		t.Errorf("documented:\n%s\nhandled:\n%s", strings.Join(documented, "\n"), strings.Join(s.patterns, "\n"))
	}
}

// TestOpenAPIAnswers: what the handlers answer is as the file says.
func TestOpenAPIAnswers(t *testing.T) {
	_, file := readOpenAPI(t)
	whole, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": file.Components.Schemas}})
	if err != nil {
		t.Fatal(err)
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("file:///openapi.json", document); err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{}, defaultPace)
	status := apitest.Status(apitest.Bottle("dev", "Ready", "", apitest.Component("agent", "running", 1)))
	status.Controller.Sources = []string{"/m"}
	r.source.Set(status)
	decided := aReview("1")
	decided.Decision, decided.State = &reconciler.Decision{Status: queue.Approved, By: "ann", Time: time.Unix(1e9, 0)}, reconciler.ProposalAnswered
	r.source.SetProposals(aReview("2"), decided)
	r.source.Record(reconciler.Event{ID: 1, Bottle: "dev", Type: reconciler.EventNormal})
	r.source.Traffics = map[string]reconciler.BottleTraffic{"dev": {Hosts: []reconciler.HostTraffic{{Host: "a"}}, Routes: []reconciler.RouteTraffic{{Route: "/"}}}}
	r.source.OnAllow = func(string, string, reconciler.AllowRequest) (string, error) { return "id", nil }
	r.source.OnRollback = func(string, string, reconciler.RollbackRequest) (string, error) { return "id", nil }
	for request, body := range map[string]string{
		"GET /v1/status": "", "GET /v1/events": "", "GET /v1/bottles/{bottle}/traffic": "", "GET /v1/proposals": "", "GET /v1/proposals/{id}": "", "GET /v1/bottles/{bottle}/rollback": "",
		"POST /v1/proposals/{id}/decision": `{"approve": true, "for": "2h"}`, "POST /v1/bottles/{bottle}/allow": `{"host": "a.example"}`, "POST /v1/bottles/{bottle}/rollback": `{}`,
		"POST /v1/bottles/{bottle}/{order}": "", "POST /v1/sync": "",
	} {
		method, path, _ := strings.Cut(request, " ")
		address := strings.NewReplacer("{bottle}", "dev", "{id}", "1", "{order}", "restart").Replace(path)
		req, err := http.NewRequestWithContext(t.Context(), method, "http://controller"+address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := unixHTTP(r.socket).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := validator.UnmarshalJSON(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Errorf("%s: %d, %v", request, resp.StatusCode, err)
			continue
		}
		content, found := file.Paths[path][strings.ToLower(method)].Responses[strconv.Itoa(resp.StatusCode)]
		if !found {
			t.Errorf("%s: %d is not documented", request, resp.StatusCode)
			continue
		}
		ref, _ := content.Content["application/json"].Schema["$ref"].(string)
		if ref == "" {
			if !reflect.DeepEqual(answer, map[string]any{}) {
				t.Errorf("%s: %v", request, answer)
			}
			continue
		}
		schema, err := compiler.Compile("file:///openapi.json" + ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s: %v", request, err)
		}
	}
}
