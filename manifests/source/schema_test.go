package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests/rules"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := rules.Schema()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("bottle.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("bottle.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validates reports whether a YAML document fits the schema.
func validates(t testing.TB, schema *jsonschema.Schema, document string) error {
	t.Helper()
	text, err := sigsyaml.YAMLToJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(instance)
}

func TestSchemaTakesGoodInputs(t *testing.T) {
	schema := compileSchema(t)
	inputs, err := filepath.Glob("../testdata/good/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		documents := strings.Split("\n"+string(text), "\n---\n")
		for i, document := range documents {
			document, _, _ = strings.Cut(document, "\n...\n")
			if !strings.Contains(document, "kind") {
				continue
			}
			if err := validates(t, schema, document); err != nil {
				t.Errorf("%s, document %d: %v", input, i, err)
			}
		}
	}
}

// TestSchemaRefusesBadInputs takes every bad input whose fault is one of form in one place.
func TestSchemaRefusesBadInputs(t *testing.T) {
	schema := compileSchema(t)
	for _, name := range []string{
		"unknown-key", "unknown-key-elsewhere", "unknown-key-styles", "unknown-key-top-level", "wrong-types", "wrong-type-elements",
		"null-values", "null-spec", "missing-fields", "missing-metadata-and-spec", "missing-routes", "missing-apiversion", "missing-header",
		"wrong-kind", "wrong-apiversion", "foreign-document", "list-document", "text-document", "name-is-number", "name-too-long", "labels",
		"routes-empty", "route-paths", "auth-scheme", "token-literal", "token-references", "roles", "commands", "env-names", "secret-in-label",
		"auth-header", "auth-query", "methods", "path-rules", "rate-limit", "max-request-body", "allow-set-cookie",
		"services", "volumes",
	} {
		text, err := os.ReadFile("../testdata/bad/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := validates(t, schema, string(text)); err == nil {
			t.Errorf("%s fits the schema", name)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	valid, err := os.ReadFile("../testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		"authScheme: Bearer": "authHeader: a_b", "roles: [anthropic-base-url]": "methods: [get]",
		"supervise: true": "supervise: 1", "dlpAction: block": "dlpAction: blok", "192.168.7.0/24]": "192.168.7.0]", "api.github.com,": "https://api.github.com,",
		"/anthropic/": "anthropic", "https://api": "ftp://api", "Bearer": `"Bearer x"`, "{env: CLAUDE_BOTTLE_OAUTH_TOKEN}": "{env: A, file: b}", "env: CLAUDE_BOTTLE_OAUTH_TOKEN": "exec: []", "CLAUDE_BOTTLE_OAUTH_TOKEN}": "A, exec: [b]}", "{env: CLAUDE_BOTTLE_OAUTH": "{exec: [a], refresh: 1d} #",
		"[anthropic-base-url]": "[tea-login, tea-login]", "LANG:": "9LANG:", "target: /work": "target: work", "memory: 2Gi": "memory: 2GB", "pids: 512": "pids: 0",
		"runtime: runsc": "runtime: a/b", "env: {LANG: C.UTF-8}": "env: {LANG: {env: A, file: b}}", "LANG: C": "X: {}, LANG: C", ": C.UTF-8": ": {value: a}", "command: [claude]": "envFile: x", "my-agent:latest": `""`, "readOnly: false": "readonly: false",
		"    image: my-agent:latest\n": "", "image: my-agent:latest": "image: x\n    build: {context: x}", "image: my": "build: {context: x, network: host}\n    #",
	} {
		changed := strings.Replace(string(valid), old, new, 1)
		if changed == string(valid) {
			t.Errorf("%q is not in the manifest", old)
		}
		if err := validates(t, schema, changed); err == nil {
			t.Errorf("%q instead of %q fits the schema", new, old)
		}
	}
}
