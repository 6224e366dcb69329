package credproxy

import (
	"io"
	"net/http"
	"strconv"
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
