package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

func liveAt(revision string, bottles ...reconciler.BottleStatus) reconciler.Status {
	return reconciler.Status{
		Controller: &reconciler.ControllerStatus{
			Version: "v1", PID: 7, Owner: "default", Revision: revision, Started: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC),
			Engine: reconciler.EngineStatus{Reachable: true, Since: time.Date(2026, 11, 2, 3, 4, 6, 0, time.UTC)}, Syncs: 3,
		},
		Bottles: bottles,
	}
}

// running is a server under test.
type running struct {
	*Server
	source *apitest.Source
	socket string
	stop   context.CancelFunc
	ended  chan error // Serve's
}

func start(t *testing.T, o Options, p streamTiming) *running {
	t.Helper()
	source := &apitest.Source{}
	source.Set(liveAt("r0"))
	if o.Socket == "" {
		o.Socket = filepath.Join(shortDir(t), "run", "controller.sock")
	}
	o.Source, o.Metrics, o.Log = source, prometheus.NewRegistry(), zerolog.New(zerolog.NewTestWriter(t))
	server, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	server.pace = p
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Server: server, source: source, socket: o.Socket, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// shortDir is a directory whose sockets' paths are not too long, whatever the test's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func unixHTTP(socket string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}

// call returns the status code and the body.
func call(t *testing.T, c *http.Client, method, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("%s %s allows the origin %q", method, url, got)
	}
	return resp.StatusCode, string(body)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(time.Minute) // of a machine under load
	for !ok() {
		select {
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestEndpoints(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "bottled_test_total"})
	r.o.Metrics.(*prometheus.Registry).MustRegister(counter)
	counter.Add(42)
	c := unixHTTP(r.socket)
	for _, want := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, "ok\n"},
		{"GET", "/metrics", 200, "bottled_test_total 42"},
		{"GET", "/v1/status", 200, `"started":"2026-11-02T03:04:05Z"`},
		{"GET", "/v1/status", 200, `"bottles":[]`},
		{"HEAD", "/v1/status/stream", 200, ""},
		{"POST", "/v1/sync", 202, `{"syncs":1}`},
		{"POST", "/v1/sync", 202, `{"syncs":2}`},
		{"GET", "/v1/sync", 405, ""},
		{"POST", "/v1/status", 405, ""},
		{"DELETE", "/v1/status", 405, ""},
		{"GET", "/", 404, ""},
		{"GET", "/v1", 404, ""},
		{"GET", "/v1/status/", 404, ""},
		{"POST", "/nothing", 404, ""},
	} {
		code, body := call(t, c, want.method, "http://x"+want.path, "")
		if code != want.code || !strings.Contains(body, want.body) {
			t.Errorf("%s %s: %d %q, want %d with %q", want.method, want.path, code, body, want.code, want.body)
		}
	}
	r.source.SetReady(errors.New("the engine does not answer"))
	if code, body := call(t, c, "GET", "http://x/readyz", ""); code != 503 || body != "the engine does not answer\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
}

func TestClient(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	want := liveAt("main@sha1:1f0c", reconciler.BottleStatus{
		Slug: "dev", Reason: reconciler.ReasonNotReady, Message: "agent: <&> \u2028 \n it ended", Generation: 2, ObservedGeneration: 1, SpecHash: "b", ObservedSpecHash: "a",
		Conditions: []reconciler.Condition{{Type: reconciler.ConditionReady, Status: "False", Reason: "x", LastTransitionTime: time.Unix(1e9, 5).UTC()}},
		Components: []reconciler.ComponentStatus{{Component: "agent", Name: "n", State: "exited", Restarts: 3}},
	}, reconciler.BottleStatus{Slug: "alpha", Components: []reconciler.ComponentStatus{}})
	r.source.Set(want)
	c := Dial(r.socket)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(reconciler.ComponentStatus{})); diff != "" {
		t.Errorf("Live (-want +got):\n%s", diff)
	}
	done := errors.New("enough")
	err = c.Watch(t.Context(), func(live reconciler.Status) error {
		if diff := cmp.Diff(want, live, cmp.AllowUnexported(reconciler.ComponentStatus{})); diff != "" {
			t.Errorf("Watch (-want +got):\n%s", diff)
		}
		return done
	})
	if err != done { //nolint:errorlint // as it is
		t.Errorf("Watch: %v, want the callback's error as it is", err)
	}
	if n, err := c.Sync(t.Context(), false); n != 1 || err != nil {
		t.Errorf("Sync: %d, %v", n, err)
	}
	waitFor(t, "the stream is closed", func() bool { return r.source.Followers() == 0 })
}

func TestNoController(t *testing.T) {
	dir := shortDir(t)
	stale := filepath.Join(dir, "stale.sock")
	leaveStale(t, stale)
	for name, socket := range map[string]string{
		"missing": filepath.Join(dir, "none.sock"), "missing directory": filepath.Join(dir, "a", "none.sock"),
		"stale": stale, "too long": "/" + strings.Repeat("x", 200),
	} {
		c := Dial(socket)
		_, err := c.Status(t.Context())
		if !errors.Is(err, ErrNoController) || !strings.Contains(err.Error(), socket) || strings.Contains(err.Error(), "http:") {
			t.Errorf("%s: Live: %v", name, err)
		}
		if _, err := c.Sync(t.Context(), false); !errors.Is(err, ErrNoController) {
			t.Errorf("%s: Sync: %v", name, err)
		}
		if err := c.Watch(t.Context(), func(reconciler.Status) error { return nil }); !errors.Is(err, ErrNoController) {
			t.Errorf("%s: Watch: %v", name, err)
		}
	}
}

// leaveStale leaves the socket of a process that was killed.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClientErrors: what answers is no healthy controller.
func TestClientErrors(t *testing.T) {
	for says, handler := range map[string]http.HandlerFunc{
		"503 Service Unavailable: busy": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
		"unexpected EOF":                func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"invalid character":             func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "event: status\ndata: nonsense\n\n") },
	} {
		socket := filepath.Join(shortDir(t), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		go server.Serve(l)
		defer server.Close()
		c := Dial(socket)
		_, liveErr := c.Status(t.Context())
		watchErr := c.Watch(t.Context(), func(reconciler.Status) error { return nil })
		for call, err := range map[string]error{"Live": liveErr, "Watch": watchErr} {
			if err == nil || errors.Is(err, ErrNoController) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), socket) {
				t.Errorf("%s: %v, want %q", call, err, says)
			}
		}
	}
}

func TestShutdown(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	watched := make(chan error, 1)
	go func() {
		watched <- Dial(r.socket).Watch(context.WithoutCancel(t.Context()), func(reconciler.Status) error { return nil })
	}()
	waitFor(t, "the stream runs", func() bool { return r.source.Followers() == 1 })
	half, err := net.Dial("unix", r.socket) // a request that never gets complete
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	fmt.Fprint(half, "GET /heal")

	begin := time.Now()
	r.stop()
	if err := <-watched; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	r.ended <- nil // for the cleanup
	if took := time.Since(begin); took > grace+time.Second {
		t.Errorf("shutdown took %s", took)
	}
	if _, err := os.Lstat(r.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if conn, err := net.Dial("tcp", r.TCPAddr().String()); err == nil {
		conn.Close()
		t.Error("TCP still answers")
	}
	start(t, Options{Socket: r.socket}, defaultPace)
}
