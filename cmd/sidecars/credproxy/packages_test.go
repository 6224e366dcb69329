package credproxy

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// TestPackages: what a registry says of where its packages are leads to the route, and nothing else is changed.
func TestPackages(t *testing.T) {
	var body, kind, encoding string
	status := http.StatusOK
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Header().Set("ETag", `"1"`)
		if encoding != "" {
			w.Header().Set("Content-Encoding", encoding)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	registry := to("/npm/", u.URL+"/base")
	registry.Roles = []model.Role{model.RoleNPMRegistry}
	b := newBench(t, u.ca(), registry, to("/other/", u.URL+"/base"))

	const npm = "application/vnd.npm.install-v1+json; charset=utf-8"
	doc := `{"dist": {"tarball":"` + u.URL + `/base/a/-/a-1.tgz"}, "home": "` + u.URL + `/else", "x": "see ` + u.URL + `/base/"}`
	rewritten := `{"dist": {"tarball":"http://cred-proxy:9099/npm/a/-/a-1.tgz"}, "home": "` + u.URL + `/else", "x": "see ` + u.URL + `/base/"}`
	for name, test := range map[string]struct {
		path, kind, encoding string
		status               int
		want                 string
	}{
		"a packument":          {"/npm/a", npm, "", 200, rewritten},
		"JSON":                 {"/npm/a", "application/json", "identity", 200, rewritten},
		"a package":            {"/npm/a/-/a-1.tgz", "application/octet-stream", "", 200, doc},
		"compressed":           {"/npm/a", npm, "zstd", 200, doc},
		"an error":             {"/npm/a", npm, "", 404, doc},
		"a route without role": {"/other/a", npm, "", 200, doc},
	} {
		t.Run(name, func(t *testing.T) {
			body, kind, encoding, status = doc, test.kind, test.encoding, test.status
			resp := b.get(test.path)
			if resp.StatusCode != test.status || resp.body != test.want || resp.Header.Get("ETag") != `"1"` {
				t.Errorf("%s %q\n%s\nwant\n%s", resp.Status, resp.Header, resp.body, test.want)
			}
		})
	}
}

// TestPackagesOfLockFiles: npm before 2026 appends the path of a locked package's address to the registry's.
func TestPackagesOfLockFiles(t *testing.T) {
	u := newUpstream(t, nil)
	registry, bare, scoped := to("/npm/", u.URL+"/api/npm"), to("/bare/", u.URL), to("/scoped/", u.URL+"/@acme")
	registry.Roles = []model.Role{model.RoleNPMRegistry}
	registry.Paths = &model.PathRules{Deny: []string{"/secret"}}
	bare.Roles, scoped.Roles = nil, nil
	b := newBench(t, u.ca(), registry, bare, scoped, to("/other/", u.URL+"/api/npm"))
	for path, want := range map[string]string{
		"/npm/a/-/a-1.tgz":                         "/api/npm/a/-/a-1.tgz",
		"/npm/api/npm/a/-/a-1.tgz":                 "/api/npm/a/-/a-1.tgz",
		"/npm/api/npm/@acme/a/-/a-1.tgz":           "/api/npm/@acme/a/-/a-1.tgz",
		"/npm/api/npm/api/npm/-/x.tgz":             "/api/npm/api/npm/-/x.tgz",
		"/npm/api/npm":                             "/api/npm/api/npm",
		"/npm/api/npm/latest":                      "/api/npm/api/npm/latest",
		"/npm/api/npm/-/npm-1.tgz":                 "/api/npm/api/npm/-/npm-1.tgz", // of a package that is called so
		"/npm/-/npm/v1/security/advisories/bulk":   "/api/npm/-/npm/v1/security/advisories/bulk",
		"/bare/a/-/a-1.tgz":                        "/a/-/a-1.tgz",
		"/scoped/@acme/a/-/a-1.tgz":                "/@acme/@acme/a/-/a-1.tgz",
		"/other/api/npm/a/-/a-1.tgz":               "/api/npm/api/npm/a/-/a-1.tgz",
		"/npm/api/npm/secret/-/secret-1.tgz":       "", // the rules apply to what is sent
		"/npm/api/npm/..%2f..%2fadmin/-/x.tgz":     "",
		"/npm/api/npm/a/-/../../../../admin/x/-/y": "",
		"/npm/api/npm/git-receive-pack/-/a.tgz":    "",
		"/npm/api/npm//evil.example/-/a.tgz":       "",
		"/npm//api/npm/a/-/a-1.tgz":                "/api/npm/a/-/a-1.tgz",
		"/npm/api%2fnpm/a/-/a-1.tgz":               "/api/npm/api%2fnpm/a/-/a-1.tgz",
	} {
		before := len(u.requests())
		resp := b.get(path)
		var got string
		if seen := u.requests()[before:]; len(seen) > 0 {
			got = seen[0].RequestURI
		}
		if got != want {
			t.Errorf("%s: the upstream saw %q, want %q (%s %q)", path, got, want, resp.Status, resp.body)
		}
	}
}

// TestPythonPages: the links of an index's pages, in HTML and in JSON (PEP 503, PEP 691), lead to the route.
func TestPythonPages(t *testing.T) {
	var body, kind string
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	})
	root, below := to("/root/", u.URL), to("/below/", u.URL+"/pypi")
	root.Roles, below.Roles = []model.Role{model.RolePipIndex}, []model.Role{model.RolePipIndex}
	const html, json = "text/html; charset=utf-8", "application/vnd.pypi.simple.v1+json"
	host := u.host()
	for name, test := range map[string]struct{ kind, path, body, want string }{
		"absolute":            {html, "/root/simple/a/", `<a href="https://` + host + `/p/a.whl#sha256=1">`, `<a href="http://cred-proxy:9099/root/p/a.whl#sha256=1">`},
		"single quotes":       {html, "/root/simple/a/", `<a href='https://` + host + `/p/a.whl'>`, `<a href='http://cred-proxy:9099/root/p/a.whl'>`},
		"from the root":       {html, "/root/simple/a/", `<a href="/p/a.whl">`, `<a href="/root/p/a.whl">`},
		"relative":            {html, "/root/simple/a/", `<a href="../../p/a.whl">`, `<a href="../../p/a.whl">`},
		"without a scheme":    {html, "/root/simple/a/", `<a href="//` + host + `/p/a.whl"><a href="//files.example/a.whl">`, `<a href="/root/p/a.whl"><a href="https://files.example/a.whl">`},
		"other hosts":         {html, "/root/simple/a/", `<a href="https://files.example/a.whl">`, `<a href="https://files.example/a.whl">`},
		"text":                {html, "/root/simple/a/", `see https://` + host + `/p and "/p"`, `see https://` + host + `/p and "/p"`},
		"PEP 691's HTML":      {"application/vnd.pypi.simple.v1+html", "/below/simple/a/", `<a href="/pypi/p/a.whl">`, `<a href="/below/p/a.whl">`},
		"beside the upstream": {html, "/below/simple/a/", `<a href="/other/a.whl"><a href="https://` + host + `/other/a.whl">`, `<a href="/other/a.whl"><a href="https://` + host + `/other/a.whl">`},
		"JSON": {
			json, "/below/simple/a/", `{"files":[{"url": "https://` + host + `/pypi/a.whl"},{"url":"/pypi/b.whl"},{"url": "/pypi/c.whl"}], "meta": "/pypi/"}`,
			`{"files":[{"url": "http://cred-proxy:9099/below/a.whl"},{"url":"/below/b.whl"},{"url": "/below/c.whl"}], "meta": "/pypi/"}`,
		},
		"a file": {"application/octet-stream", "/root/p/a.whl", `<a href="/p/a.whl">`, `<a href="/p/a.whl">`},
	} {
		t.Run(name, func(t *testing.T) {
			index := root // a bottle has one
			if strings.HasPrefix(test.path, below.Path) {
				index = below
			}
			b := newBench(t, u.ca(), index)
			body, kind = test.body, test.kind
			if resp := b.get(test.path); resp.body != test.want {
				t.Errorf("%s %s\nwant\n%s", resp.Status, resp.body, test.want)
			}
		})
	}
}
