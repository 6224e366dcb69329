package credproxy

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// TestJudge compares the judge's verdicts with what a cred-proxy with the same routes answers.
func TestJudge(t *testing.T) {
	u := newUpstream(t, nil)
	ruled := to("/ruled/", u.URL)
	ruled.Paths, ruled.Methods = &model.PathRules{Allow: []string{"/v1", "/x/y"}, Deny: []string{"/v1/batches"}}, []string{"GET"}
	limited := to("/limited/", u.URL)
	limited.RateLimit = &model.RateLimit{RequestsPerMinute: 1}
	b := newBench(t, u.ca(), to("/api/", u.URL), to("/api/deeper/", u.URL), ruled, limited)
	routes, err := os.ReadFile(filepath.Join(b.dirs.config, routesFile))
	if err != nil {
		t.Fatal(err)
	}
	judge, err := NewJudge(routes)
	if err != nil {
		t.Fatal(err)
	}
	for request, route := range map[string]string{
		"GET /api/x?y=1":                  "/api/",
		"GET /api/deeper/x":               "/api/deeper/",
		"DELETE /api/x":                   "/api/",
		"GET /api":                        "",
		"GET /none/":                      "",
		"GET /api/x//y":                   "",
		"GET /api//deeper/x":              "/api/deeper/",
		"GET /api/x?key=1":                "/api/",
		"GET /api/../x":                   "",
		"GET /api/x.git/git-receive-pack": "",
		"TRACE /api/":                     "",
		"get /api/":                       "",
		"GET http://api.test/":            "",
		"GET /ruled/v1/messages":          "/ruled/",
		"POST /ruled/v1/messages":         "/ruled/",
		"GET /ruled/v1/batches":           "/ruled/",
		"GET /ruled/v1/%42atches":         "/ruled/",
		"GET /ruled/v2":                   "/ruled/",
		"GET /limited/x":                  "/limited/",
	} {
		method, uri, _ := strings.Cut(request, " ")
		v, err := judge.Judge(method, uri)
		if err != nil || v.Route != route || (v.Upstream == u.URL) != (route != "") {
			t.Errorf("%s: %+v, %v, want the route %q", request, v, err, route)
		}
		asked := len(u.requests())
		resp := b.raw(method + " " + uri + " HTTP/1.1\r\nHost: cred-proxy:9099\r\nConnection: close\r\n\r\n")
		if reached := len(u.requests()) > asked; reached != (v.Refusal == "") || reached && resp.StatusCode != http.StatusOK {
			t.Errorf("%s: cred-proxy answers %s %q, the judge says %+v", request, resp.Status, resp.body, v)
		} else if want := "cred-proxy: " + v.Refusal + "\n"; !reached && resp.body != want {
			t.Errorf("%s: cred-proxy answers %q, the judge says %q", request, resp.body, want)
		}
	}
	if _, err := judge.Judge("GET", "/a b"); err == nil {
		t.Error("a request that cannot be sent is judged")
	}
	if _, err := NewJudge([]byte(`{}`)); err == nil {
		t.Error("a file that is no routes.json is accepted")
	}
}
