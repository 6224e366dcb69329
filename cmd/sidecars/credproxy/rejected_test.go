package credproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	model "github.com/bot-bottle/bottled/manifests/route"
)

// TestRejectedCredentialsAreOnRecord, each with its route, upstream, status, code and reason; other failures have no code.
func TestRejectedCredentialsAreOnRecord(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/401":
			w.WriteHeader(http.StatusUnauthorized)
		case "/403":
			w.WriteHeader(http.StatusForbidden)
		case "/blocked": // as pipelock does
			w.Header().Set(sidecar.BlockedHeader, "address_blocked")
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
	secure := newUpstream(t, answer)
	plain := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(plain.Close)
	b := newBench(t, secure.ca(), to("/s/", secure.URL), to("/p/", plain.URL), model.Route{Path: "/two/", Upstream: secure.URL, TokenSlot: "two"})
	for path, want := range map[string]struct {
		at     string
		status int
		code   any
		reason any
	}{
		"/s/401":     {secure.URL, 401, "credential_rejected", " answered 401"},
		"/s/403":     {secure.URL, 403, "credential_rejected", " answered 403"},
		"/p/401":     {plain.URL, 401, "credential_rejected", " answered 401"},
		"/s/404":     {secure.URL, 404, nil, nil},
		"/p/blocked": {plain.URL, 403, nil, "pipelock refused the request: address_blocked"},
		"/s/blocked": {secure.URL, 403, "credential_rejected", " answered 403"}, // pipelock can't have said that
		"/two/x":     {secure.URL, 503, "credential_unusable", "route /two/ has no token: token file two cannot be read: no such file or directory"},
		"/s/../x":    {secure.URL, 400, nil, "the path has a . or .. segment"},
	} {
		b.log.Reset()
		b.get(path)
		line := b.requestLines(1)[0]
		upstream, err := url.Parse(want.at)
		if err != nil {
			t.Fatal(err)
		}
		if reason, ok := want.reason.(string); ok && strings.HasPrefix(reason, " ") {
			want.reason = upstream.Host + reason
		}
		if path == "/s/../x" { // no route is known by then
			upstream = &url.URL{}
		}
		port, _ := line["port"].(float64)
		host, _ := line["host"].(string)
		if got := fmt.Sprint(line["status"], line["code"], line["reason"]); got != fmt.Sprint(want.status, want.code, want.reason) {
			t.Errorf("%s: %s", path, got)
		}
		if host != upstream.Hostname() || port > 0 && fmt.Sprint(port) != upstream.Port() {
			t.Errorf("%s: host %s, port %v", path, host, port)
		}
	}
}

// TestTokensAreOnRecord when they are loaded: new ones, those of changed routes, and those that can't be sent.
func TestTokensAreOnRecord(t *testing.T) {
	b := newBench(t, nil, to("/a/", "https://a.example"), to("/b/", "https://b.example:8443"))
	routeC := to("/c/", "https://c.example")
	routeC.TokenSlot = "c"
	both := []string{"loaded /a/ a.example 443 <nil> <nil>", "loaded /b/ b.example 8443 <nil> <nil>"}
	unusable := "token file c holds what cannot be sent in a header (line breaks, control characters, spaces around it)"
	for _, step := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"start", func() {}, both},
		{"nothing changed", func() { b.log.Reset() }, nil},
		{"another token", func() { b.write(b.dirs.token, "t", marker+"-2") }, both},
		{"a token of two lines", func() {
			b.write(b.dirs.token, "c", marker+"\n"+marker)
			b.routes(to("/a/", "https://a.example"), routeC)
		}, []string{"missing /c/ c.example 443 credential_unusable " + unusable}},
		{"a token that can be sent", func() { b.write(b.dirs.token, "c", marker) }, []string{"loaded /c/ c.example 443 <nil> <nil>"}},
		{"another place for it", func() {
			routeC.AuthScheme, routeC.AuthHeader = "", "X-Key"
			b.routes(routeC)
		}, []string{"loaded /c/ c.example 443 <nil> <nil>"}},
	} {
		step.change()
		if step.name != "start" {
			b.reload()
		}
		if got := credentialLines(t, b.log.String()); fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
		b.log.Reset()
	}
}

func credentialLines(t *testing.T, log string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l["event"] != "credential" || l["number"] == nil {
			t.Errorf("line %s", line)
		}
		lines = append(lines, fmt.Sprintln(l["action"], l["route"], l["host"], l["port"], l["code"], l["reason"]))
		lines[len(lines)-1] = strings.TrimSpace(lines[len(lines)-1])
	}
	return lines
}

// TestTokenThatCannotBePutOnRecordIsNotUsed: the load fails, and the one before stays in force.
func TestTokenThatCannotBePutOnRecordIsNotUsed(t *testing.T) {
	b := newBench(t, nil, to("/a/", "https://a.example"))
	before, out := b.loader.table.Load(), &failing{}
	out.fail(http.ErrHandlerTimeout)
	b.loader.audit.out = out
	b.write(b.dirs.token, "t", marker+"-2")
	if _, err := b.loader.load(); err == nil || !strings.Contains(err.Error(), "route /a/: write to the audit log") || b.loader.table.Load() != before {
		t.Errorf("load: %v; another table: %v", err, b.loader.table.Load() != before)
	}
}
