package credproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// endTimeout is how long an exchange may outlive its route.
const endTimeout = time.Second

// revocable is a bench whose upstream sends one line, and one more for each send, until it is left.
type revocable struct {
	*bench
	upstream *upstream
	left     chan string // paths of requests that the upstream lost
	more     chan struct{}
}

func newRevocable(t *testing.T, http1 bool) *revocable {
	t.Helper()
	r := &revocable{left: make(chan string, 100), more: make(chan struct{})}
	serve := func(w http.ResponseWriter, q *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		go func() { _, _ = io.Copy(io.Discard, q.Body) }()
		for ended := false; !ended; {
			_, _ = io.WriteString(w, "line\n")
			_ = rc.Flush()
			select {
			case <-r.more:
			case <-q.Context().Done():
				ended = true
			}
		}
		r.left <- q.URL.Path
	}
	if http1 {
		r.upstream = newUpstreamHTTP1(t, http.HandlerFunc(serve))
	} else {
		r.upstream = newUpstream(t, serve)
	}
	r.bench = newBench(t, r.upstream.ca(), to("/a/", r.upstream.URL), to("/kept/", r.upstream.URL))
	return r
}

// stream opens one and reads its first line.
func (r *revocable) stream(client *http.Client, path string, body io.Reader) *bufio.Scanner {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.server.URL+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "line" {
		r.t.Fatalf("%s: %s %q %v", path, resp.Status, lines.Text(), lines.Err())
	}
	return lines
}

// ends waits for a stream's end, which must be no regular one.
func (r *revocable) ends(what string, lines *bufio.Scanner, since time.Time) {
	r.t.Helper()
	for lines.Scan() {
	}
	if took := time.Since(since); lines.Err() == nil || took > endTimeout {
		r.t.Errorf("%s: the stream ended after %s with %v; want it cut within %s", what, took, lines.Err(), endTimeout)
	}
}

// TestRevokedRouteEndsItsStreams, uploads and HTTP/2 streams, and nobody else's.
func TestRevokedRouteEndsItsStreams(t *testing.T) {
	type change struct {
		reason string
		apply  func(r *revocable)
	}
	changed := func(edit func(*model.Route)) change {
		return change{string(errRouteChanged), func(r *revocable) {
			route := to("/a/", r.upstream.URL)
			edit(&route)
			r.routes(route, to("/kept/", r.upstream.URL))
		}}
	}
	for name, change := range map[string]change{
		"removed":         {string(errRouteRemoved), func(r *revocable) { r.routes(to("/kept/", r.upstream.URL)) }},
		"token taken":     {string(errTokenGone), func(r *revocable) { r.write(r.dirs.token, "t", ""); r.write(r.dirs.token, "kept", marker) }},
		"upstream's path": changed(func(r *model.Route) { r.Upstream += "/x" }),
		"auth":            changed(func(r *model.Route) { r.AuthScheme, r.AuthHeader = "", "x-api-key" }),
		"slot":            changed(func(r *model.Route) { r.TokenSlot = "empty" }),
		"methods":         changed(func(r *model.Route) { r.Methods = []string{"GET"} }),
		"paths":           changed(func(r *model.Route) { r.Paths = &model.PathRules{Deny: []string{"/x"}} }),
		"covered": {string(errRouteChanged), func(r *revocable) {
			r.routes(to("/a/", r.upstream.URL), to("/a/x/", r.upstream.URL), to("/kept/", r.upstream.URL))
		}},
	} {
		for _, http1 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/1 upstream %v", name, http1), func(t *testing.T) {
				testRevoked(t, change.reason, change.apply, http1)
			})
		}
	}
}

func testRevoked(t *testing.T, reason string, apply func(*revocable), http1 bool) {
	r := newRevocable(t, http1)
	if reason == string(errTokenGone) { // the routes have tokens of their own
		kept := to("/kept/", r.upstream.URL)
		kept.TokenSlot = "kept"
		r.write(r.dirs.token, "kept", marker)
		r.routes(to("/a/", r.upstream.URL), kept)
		r.reload()
	}
	var ended, kept []*bufio.Scanner
	for _, client := range clients(t) {
		lines := r.stream(client, "/a/x/stream", nil)
		ended = append(ended, lines)
		upload, feed := io.Pipe()
		defer feed.Close()
		lines = r.stream(client, "/a/x/upload", upload)
		ended = append(ended, lines)
		lines = r.stream(client, "/kept/stream", nil)
		kept = append(kept, lines)
	}
	apply(r)
	begin := time.Now()
	r.reload()
	for range ended {
		select {
		case path := <-r.left:
			if strings.HasPrefix(path, "/stream") {
				t.Errorf("the other route's %s was cut", path)
			}
		case <-time.After(endTimeout):
			t.Fatal("the upstream still has requests of the route")
		}
	}
	for _, lines := range ended {
		r.ends("revoked", lines, begin)
	}
	for _, lines := range kept {
		r.more <- struct{}{}
		if !lines.Scan() {
			t.Errorf("the other route's stream has ended: %v", lines.Err())
		}
	}
	for _, line := range r.requestLines(len(ended)) {
		if line["error"] != reason || line["route"] != "/a/" {
			t.Errorf("audited as %v; want the reason %q", line, reason)
		}
	}
}

// TestRevokedRouteEndsLongPolls that have no answer yet, and tells the client.
func TestRevokedRouteEndsLongPolls(t *testing.T) {
	asked := make(chan struct{})
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() })
	b := newBench(t, u.ca(), to("/a/", u.URL))
	c := b.converse()
	c.say("GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	b.routes()
	begin := time.Now()
	b.reload()
	if status, body, _ := c.hears("GET"); status != http.StatusServiceUnavailable || !strings.Contains(body, string(errRouteRemoved)) {
		t.Errorf("%d %q; want 503 and the reason", status, body)
	}
	if took := time.Since(begin); took > endTimeout {
		t.Errorf("the client was told after %s", took)
	}
}

// TestRevokedRouteClosesIdleConnections to its upstream, and only those.
func TestRevokedRouteClosesIdleConnections(t *testing.T) {
	for name, serverOf := range map[string]func(http.Handler) *upstream{
		"HTTP/1": func(h http.Handler) *upstream { return newUpstreamHTTP1(t, h) },
		"HTTP/2": func(h http.Handler) *upstream { return newUpstream(t, h.ServeHTTP) },
	} {
		t.Run(name, func(t *testing.T) {
			u := serverOf(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
			b := newBench(t, u.ca(), to("/a/", u.URL), to("/kept/", u.URL))
			for _, path := range []string{"/a/", "/kept/"} {
				if resp := b.get(path); resp.StatusCode != http.StatusOK {
					t.Fatal(resp.Status)
				}
			}
			tunnels := b.pipelock.tunnels()
			b.routes(to("/kept/", u.URL))
			b.reload()
			b.until("the removed route's tunnel to end", func() bool { return isClosed(tunnels[0]) })
			if resp := b.get("/kept/"); resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
			if got := b.pipelock.requests(); len(got) != 2 {
				t.Errorf("pipelock saw %q; want the kept route's connection used again", got)
			}
		})
	}
}

// tunnels returns the upstreams' ends of the tunnels so far.
func (p *pipelock) tunnels() (out []net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 1; i < len(p.conns); i += 2 {
		out = append(out, p.conns[i])
	}
	return out
}

func isClosed(conn net.Conn) bool { return errors.Is(conn.SetDeadline(time.Time{}), net.ErrClosed) }

// TestUnrevokedRouteGoesOn through what changes none of its rules.
func TestUnrevokedRouteGoesOn(t *testing.T) {
	r := newRevocable(t, false)
	lines := r.stream(http.DefaultClient, "/a/stream", nil)
	route := to("/a/", r.upstream.URL)
	for name, apply := range map[string]func(){
		"another token":      func() { r.write(r.dirs.token, "t", marker+"2") },
		"a rate limit":       func() { route.RateLimit = &model.RateLimit{RequestsPerMinute: 1}; r.routes(route) },
		"a role":             func() { route.Roles = []model.Role{model.RoleTeaLogin}; r.routes(route) },
		"another route":      func() { r.routes(route, to("/other/", "https://other.example")) },
		"another order":      func() { r.routes(to("/0/", "https://other.example"), route) },
		"authority replaced": func() { r.write(r.dirs.config, caFile, string(newUpstream(t, nil).ca())) },
	} {
		apply()
		r.reload()
		select {
		case r.more <- struct{}{}:
		case <-r.left:
			t.Fatalf("%s: the stream was cut", name)
		}
		if !lines.Scan() {
			t.Fatalf("%s: the stream has ended: %v", name, lines.Err())
		}
	}
}

// TestRevocationRacesWithRequests: no exchange that begins while its route goes outlives it.
func TestRevocationRacesWithRequests(t *testing.T) {
	r := newRevocable(t, false)
	for range 30 {
		r.routes(to("/a/", r.upstream.URL))
		r.reload()
		done := make(chan struct{})
		for range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				resp, err := http.Post(r.server.URL+"/a/", "text/plain", nil)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
		}
		r.routes()
		r.reload()
		for range 4 {
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatal("an exchange outlived its route")
			}
		}
	}
}
