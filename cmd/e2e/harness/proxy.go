package harness

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Proxy stands between bottled and the engine: it counts calls, and lets a test fail one or act just before it.
type Proxy struct {
	mu    sync.Mutex
	calls []string
	hook  func(n int, call string) Outcome
}

// Outcome is what becomes of one call.
type Outcome int

// The outcomes.
const (
	Pass     Outcome = iota // to the engine and back
	Refuse                  // the engine answers with an error and has done nothing
	LoseBack                // the engine does it, the answer is lost
)

// Proxy makes the Env's bottled processes reach the engine through a proxy.
func (e *Env) Proxy() *Proxy {
	e.tb.Helper()
	socket := filepath.Join(e.tb.TempDir(), "d.sock")
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", socket)
	e.must(err)
	p := &Proxy{}
	dial := e.Client.Dialer()
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		},
		FlushInterval: -1,
		// The client going away in the middle of a log is nothing to tell.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p.arrive(r) {
		case Refuse:
			http.Error(w, `{"message":"injected fault"}`, http.StatusInternalServerError)
		case LoseBack:
			reverse.ServeHTTP(discard{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		case Pass:
			reverse.ServeHTTP(w, r)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	e.tb.Cleanup(func() { _ = server.Close() })
	e.Extra = append(e.Extra, "DOCKER_HOST=unix://"+socket)
	return p
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)               {}

func (p *Proxy) arrive(r *http.Request) Outcome {
	p.mu.Lock()
	call := r.Method + " " + shape(r.URL.Path)
	p.calls = append(p.calls, call)
	n, hook := len(p.calls), p.hook
	p.mu.Unlock()
	if hook == nil {
		return Pass
	}
	return hook(n, call)
}

var (
	versionPath = regexp.MustCompile(`^/v[0-9.]+`)
	idPath      = regexp.MustCompile(`/[0-9a-f]{12,64}(/|$)`)
)

// shape leaves version and IDs out of a path.
func shape(path string) string {
	path = versionPath.ReplaceAllString(path, "")
	return strings.TrimSuffix(idPath.ReplaceAllString(path, "/ID$1"), "/")
}

// Reset forgets the calls so far and sets what is asked at every further one; nil for nothing.
func (p *Proxy) Reset(hook func(n int, call string) Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.hook = nil, hook
}

// Calls are the calls since the last Reset, like "GET /containers/json".
func (p *Proxy) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...)
}
