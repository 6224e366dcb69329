package credproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// configServer answers every request with the same text.
type configServer struct {
	text, encoding string
	status         int
}

func (s *configServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(s.text)))
	w.Header().Set("Digest", "sha-256=x")
	if s.encoding != "" {
		w.Header().Set("Content-Encoding", s.encoding)
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.text)
}

// cargoBench is a registry below /crates of an upstream, with a route at /cargo/, and another route of the same bottle.
func cargoBench(t *testing.T) (*bench, *upstream, *configServer) {
	t.Helper()
	s := &configServer{status: http.StatusOK}
	u := newUpstream(t, s.ServeHTTP)
	registry := to("/cargo/", u.URL+"/crates")
	registry.Roles = []model.Role{model.RoleCargoRegistry}
	b := newBench(t, u.ca(), registry, to("/other/", u.URL+"/crates"))
	b.write(b.dirs.config, allowlistFile, "static.test\n"+u.host()+"\n")
	b.reload()
	return b, u, s
}

// TestCargoConfig: what a Cargo registry says of where its crates and its API are leads to the route, or to where a redirect could lead.
func TestCargoConfig(t *testing.T) {
	b, u, s := cargoBench(t)
	const ours = "http://cred-proxy:9099/cargo"
	for name, test := range map[string]struct{ dl, api, wantDL, wantAPI string }{
		"on the upstream":        {"/crates/dl", "/crates", ours + "/dl", ours},
		"at the upstream itself": {"/crates", "/crates/", ours, ours},
		"markers":                {"/crates/{prefix}/{crate}/{version}/{sha256-checksum}.crate", "", ours + "/{prefix}/{crate}/{version}/{sha256-checksum}.crate", ""},
		"an allowed host":        {"https://static.test/{lowerprefix}/{crate}", "https://static.test", "https://static.test/{lowerprefix}/{crate}", "https://static.test"},
		"a user":                 {"https://u:p@static.test/dl", "", "https://static.test/dl", ""},
		"beside the upstream":    {"/cratesdl", "/other", u.URL + "/cratesdl", u.URL + "/other"},
		"out of it by dots":      {"/crates/../admin", "", u.URL + "/crates/../admin", ""},
		"API elsewhere":          {"/crates/dl", "https://evil.test", ours + "/dl", ""},
		"API is another route":   {"/crates/dl", "http://cred-proxy:9099/other/", ours + "/dl", ""},
	} {
		t.Run(name, func(t *testing.T) {
			full := func(text string) string {
				if strings.HasPrefix(text, "/") {
					return u.URL + text
				}
				return text
			}
			config, want := map[string]any{"dl": full(test.dl), "auth-required": true, "more": []any{"kept"}}, map[string]any{"dl": test.wantDL, "more": []any{"kept"}}
			if test.api != "" {
				config["api"] = full(test.api)
			}
			if test.wantAPI != "" {
				want["api"] = test.wantAPI
			}
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			s.text = string(text)
			for _, path := range []string{"/cargo/config.json", "/cargo/index/config.json"} {
				resp := b.get(path)
				var got map[string]any
				if err := json.Unmarshal([]byte(resp.body), &got); err != nil {
					t.Fatalf("%s %q: %v", resp.Status, resp.body, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got)\n%s", path, diff)
				}
				if resp.ContentLength != int64(len(resp.body)) || resp.Header.Get("Digest") != "" {
					t.Errorf("%s: header %v", path, resp.Header)
				}
			}
		})
	}
}

// TestCargoConfigElsewhere: nothing but the configuration of a route with the role is changed.
func TestCargoConfigElsewhere(t *testing.T) {
	b, u, s := cargoBench(t)
	s.text = `{"dl": "` + u.URL + `/crates/dl"}`
	for _, path := range []string{"/cargo/co/nf/config", "/cargo/x/config.json", "/other/config.json"} {
		if resp := b.get(path); resp.body != s.text {
			t.Errorf("%s: %s %s", path, resp.Status, resp.body)
		}
	}
	s.status = http.StatusNotFound
	if resp := b.get("/cargo/config.json"); resp.StatusCode != http.StatusNotFound || resp.body != s.text {
		t.Errorf("an error: %s %s", resp.Status, resp.body)
	}
}

// TestHostileCargoConfig: a configuration that would lead the client astray, or that can't be read, does not reach it.
func TestHostileCargoConfig(t *testing.T) {
	b, u, s := cargoBench(t)
	for name, test := range map[string]struct{ text, encoding, want string }{
		"another route":       {`{"dl": "http://cred-proxy:9099/other/"}`, "", "a part of this bottle"},
		"supervise":           {`{"dl": "https://Supervise.:9100/"}`, "", "a part of this bottle"},
		"a host off the list": {`{"dl": "https://evil.test/{crate}"}`, "", "add evil.test to spec.egress.allowlist"},
		"clear text":          {`{"dl": "http://static.test/"}`, "", "could be read on the way"},
		"the token":           {`{"dl": "https://static.test/` + marker + `/"}`, "", "has the route's token in it"},
		"another dl first":    {`{"dl": "` + u.URL + `/crates/dl", "dl": "https://evil.test/"}`, "", "add evil.test"},
		"a path":              {`{"dl": "/crates/dl"}`, "", "not one of HTTP with a host"},
		"malformed":           {`{"dl": "https://["}`, "", "not a URL"},
		"no dl":               {`{"api": "` + u.URL + `/crates"}`, "", "not a text"},
		"a list":              {`[]`, "", "not a JSON object"},
		"null":                {`null`, "", "not a JSON object"},
		"no JSON":             {`<html>`, "", "not a JSON object"},
		"cut off":             {`{"dl": "` + u.URL, "", "not a JSON object"},
		"compressed":          {`{"dl": "` + u.URL + `/crates/dl"}`, "gzip", "compressed"},
		"endless":             {`{"dl": "` + u.URL + `/crates/dl", "x": "` + strings.Repeat("x", maxCargoConfig) + `"}`, "", "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s.text, s.encoding = test.text, test.encoding
			if resp := b.get("/cargo/config.json"); resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.body, "config.json") || !strings.Contains(resp.body, test.want) {
				t.Errorf("%s %q; want 502 with %q", resp.Status, resp.body, test.want)
			}
		})
	}
}
