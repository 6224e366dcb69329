package credproxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	model "github.com/bot-bottle/bottled/manifests/route"
)

// marker is the token of every test; it may appear nowhere but at the upstream.
const marker = "tok3n-MARKER-do-not-leak"

const patience = sidecartest.Patience

// pipelock is a small forward proxy: CONNECT and absolute-form, with a list of what it refuses.
type pipelock struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []string          // "CONNECT host:port" or "GET http://…"
	refuse map[string]string // host:port → reason; "stall" sends half a response
	conns  []net.Conn

	forwarder *http.Transport // for requests in absolute form
}

func newPipelock(t *testing.T) *pipelock {
	t.Helper()
	p := &pipelock{refuse: map[string]string{}, forwarder: &http.Transport{DisableKeepAlives: true}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.Close()
	})
	return p
}

func (p *pipelock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.RequestURI)
	reason, refused := p.refuse[r.Host]
	p.mu.Unlock()
	switch {
	case refused && reason == "stall":
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusForbidden)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case refused:
		http.Error(w, reason, http.StatusForbidden)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	default:
		p.forward(w, r)
	}
}

func (p *pipelock) tunnel(w http.ResponseWriter, r *http.Request) {
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, "dial failed", http.StatusBadGateway)
		return
	}
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	// Only now: the server must not read any of what the client sends next.
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	p.mu.Lock()
	p.conns = append(p.conns, in, out)
	p.mu.Unlock()
	pipe := func(to, from net.Conn) { _, _ = io.Copy(to, from); to.Close() }
	go pipe(out, in)
	pipe(in, out)
}

func (p *pipelock) forward(w http.ResponseWriter, r *http.Request) {
	r.RequestURI = ""
	resp, err := p.forwarder.RoundTrip(r)
	if err != nil {
		http.Error(w, "dial failed", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func (p *pipelock) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *pipelock) refuses(hostport, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse[hostport] = reason
}

// bench is a cred-proxy in front of a pipelock.
type bench struct {
	t        *testing.T
	address  string // of the program, once start has been called
	dirs     directories
	pipelock *pipelock
	loader   *loader
	handler  *handler
	server   *testServer
	log      *sidecartest.Buffer
}

// newBench starts a cred-proxy with the token in slot "t" and an empty one in "empty".
func newBench(t *testing.T, ca []byte, routes ...model.Route) *bench {
	t.Helper()
	b := &bench{t: t, dirs: directories{t.TempDir(), t.TempDir()}, pipelock: newPipelock(t), log: &sidecartest.Buffer{}}
	b.write(b.dirs.token, "t", marker+"\n")
	b.write(b.dirs.token, "empty", "\n")
	if ca != nil {
		b.write(b.dirs.config, caFile, string(ca))
	}
	b.routes(routes...)
	proxy, err := url.Parse(b.pipelock.URL)
	if err != nil {
		t.Fatal(err)
	}
	logger := zerolog.New(b.log)
	errorLog := log.New(logger, "", 0)
	b.loader = &loader{dirs: b.dirs, pipelock: proxy, audit: newAuditLog(logger, b.log, errorLog)}
	if _, err := b.loader.load(); err != nil {
		t.Fatal(err)
	}
	b.handler = newHandler(b.loader, b.loader.audit, errorLog)
	b.server = newTestServer(t, newServer(b.handler))
	t.Cleanup(func() {
		b.server.end(t)
		noSecret(t, "log", b.log.String())
	})
	return b
}

// testServer serves on a port of its own.
type testServer struct {
	*server
	URL      string
	Listener net.Listener
	served   chan error
}

func newTestServer(t *testing.T, from *server) *testServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, from)
}

func serveOn(t *testing.T, listener net.Listener, from *server) *testServer {
	t.Helper()
	s := &testServer{server: from, URL: "http://" + listener.Addr().String(), Listener: listener, served: make(chan error, 1)}
	go func() { s.served <- s.Serve(listener) }()
	return s
}

// end closes it and sees that nothing of it goes on.
func (s *testServer) end(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serve ended with %v", err)
	}
	if n := s.handler.open.Load(); n != 0 {
		t.Errorf("%d exchanges are open after the server's end", n)
	}
}

// sighup signals this process, and so the program that runs in it.
func sighup(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// start runs the whole program beside the bench's own server, until the test ends.
func (b *bench) start(t *testing.T) {
	t.Helper()
	b.address = sidecartest.FreeAddress(t)
	program, err := newProgram(b.address, b.dirs, func(key string) string {
		return map[string]string{"HTTPS_PROXY": b.pipelock.URL}[key]
	}, zerolog.New(b.log), b.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- program.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	b.until("the program to serve", func() bool {
		conn, err := net.Dial("tcp", b.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// write replaces a file as the controller does.
func (b *bench) write(dir, name, content string) {
	b.t.Helper()
	temp := filepath.Join(b.t.TempDir(), name)
	sidecartest.WriteFile(b.t, temp, content)
	if err := os.Rename(temp, filepath.Join(dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) routes(routes ...model.Route) {
	b.t.Helper()
	data, err := model.Render(routes)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(b.dirs.config, routesFile, string(data))
}

func noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, leak := range []string{marker, base64.StdEncoding.EncodeToString([]byte(marker)), "MARKER"} {
		if strings.Contains(text, leak) {
			t.Errorf("%s shows the token:\n%s", where, text)
			return
		}
	}
}

// response is a whole response.
type response struct {
	*http.Response
	body string
}

// raw sends a request byte by byte, past all that a client library would clean up.
func (b *bench) raw(request string) response {
	b.t.Helper()
	conn := sidecartest.Dial(b.t, b.server.Listener.Addr().String())
	defer conn.Close()
	return b.whole(sidecartest.Ask(b.t, conn, request))
}

func (b *bench) whole(resp *http.Response) response {
	b.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	noSecret(b.t, "response", fmt.Sprint(resp.Header, resp.Trailer, string(body)))
	return response{resp, string(body)}
}

// get sends a request with the given header lines.
func (b *bench) get(target string, lines ...string) response {
	b.t.Helper()
	return b.raw("GET " + target + " HTTP/1.1\r\nHost: cred-proxy:9099\r\nConnection: close\r\n" + join(lines) + "\r\n")
}

func join(lines []string) string {
	var s strings.Builder
	for _, line := range lines {
		s.WriteString(line + "\r\n")
	}
	return s.String()
}

// requestLines returns the audit lines of ended requests so far, waiting until there are n.
func (b *bench) requestLines(n int) []map[string]any {
	b.t.Helper()
	var lines []map[string]any
	b.until(fmt.Sprintf("%d audit lines", n), func() bool {
		lines = nil
		for line := range strings.Lines(b.log.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				b.t.Fatalf("log line is not JSON: %v: %s", err, line)
			}
			if fields["event"] == "request" && fields["phase"] == "end" {
				lines = append(lines, fields)
			}
		}
		return len(lines) >= n
	})
	return lines
}

func to(path, upstream string) model.Route {
	return model.Route{Path: path, Upstream: upstream, AuthScheme: "Bearer", TokenSlot: "t", InsecureUpstream: strings.HasPrefix(upstream, "http:")}
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	sidecartest.Until(b.t, what, b.log, ok)
}
