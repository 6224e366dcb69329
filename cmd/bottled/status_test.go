package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// testController serves a source at a socket until it is stopped.
type testController struct {
	*apitest.Source
	stop func()
}

func serve(t *testing.T, socket string, live reconciler.Status) *testController {
	t.Helper()
	c := &testController{Source: &apitest.Source{}}
	c.Set(live)
	server, err := api.Listen(t.Context(), api.Options{Source: c, Metrics: prometheus.NewRegistry(), Socket: socket, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(c.stop)
	return c
}

// testApp has its own directories and prints into the buffer.
func testApp(t *testing.T) (*app, *lockedBuffer, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bottled") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	out := &lockedBuffer{}
	a := &app{out: console{w: out}, log: zerolog.New(out), settings: settings{
		Owner: "me", StateDir: dir, RunDir: filepath.Join(dir, "run"), Timeout: 5 * time.Second,
	}}
	socket, err := a.settings.socket()
	if err != nil {
		t.Fatal(err)
	}
	return a, out, socket
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestSocketPath(t *testing.T) {
	for want, s := range map[string]settings{
		"/r/controller.sock": {StateDir: "/s", RunDir: "/r"},
		"/run/bottled/" + state.Digest("/s") + "/controller.sock": {StateDir: "/s"},
	} {
		if s.RunDir == "" && os.Geteuid() != 0 {
			want = filepath.Join(t.TempDir(), "bottled", state.Digest("/s"), "controller.sock")
			t.Setenv("XDG_RUNTIME_DIR", strings.TrimSuffix(want, filepath.Join("/bottled", state.Digest("/s"), "controller.sock")))
		}
		if got, err := s.socket(); got != want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// live is what a controller tells of some bottles.
func live(bottles ...reconciler.BottleStatus) reconciler.Status {
	return reconciler.Status{Controller: controller(), Bottles: bottles}
}

func TestLookout(t *testing.T) {
	a, _, socket := testApp(t)
	l, err := a.lookout()
	if err != nil {
		t.Fatal(err)
	}
	l.engine = func(context.Context) (reconciler.Status, error) {
		return reconciler.Status{Bottles: []reconciler.BottleStatus{bottle("engine", "Ready", "")}}, nil
	}
	got, err := l.look(t.Context())
	if err != nil || got.Controller != nil || len(got.Bottles) != 1 || got.Bottles[0].Slug != "engine" {
		t.Errorf("without a controller: %+v, %v", got, err)
	}
	c := serve(t, socket, live(bottle("controlled", "Ready", "")))
	got, err = l.look(t.Context())
	if err != nil || got.Controller == nil || len(got.Bottles) != 1 || got.Bottles[0].Slug != "controlled" {
		t.Errorf("with a controller: %+v, %v", got, err)
	}
	c.stop()
	l.engine = func(context.Context) (reconciler.Status, error) { return reconciler.Status{}, errors.New("no engine") }
	if _, err := l.look(t.Context()); err == nil || err.Error() != "no engine" {
		t.Errorf("without both: %v", err)
	}
}

// TestFollow: the controller comes, goes, and comes back, and so does the engine.
func TestFollow(t *testing.T) {
	_, _, socket := testApp(t)
	var engineDown atomic.Bool
	var looks atomic.Int64
	l := &lookout{controller: api.Dial(socket), pause: 10 * time.Millisecond, engine: func(context.Context) (reconciler.Status, error) {
		if engineDown.Load() {
			return reconciler.Status{}, errors.New("no engine")
		}
		looks.Add(1)
		return reconciler.Status{Bottles: []reconciler.BottleStatus{bottle("engine", "Ready", "")}}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var last, problem atomic.Value
	ended := make(chan error, 1)
	go func() {
		ended <- l.follow(ctx, func(live reconciler.Status) error {
			last.Store(live.Bottles[0].Slug)
			return nil
		}, func(err error) { problem.Store(err.Error()) })
	}()
	shows := func(slug string) func() bool { return func() bool { return last.Load() == slug } }
	waitFor(t, "the engine is seen", shows("engine"))
	n := looks.Load()
	waitFor(t, "it is looked at again", func() bool { return looks.Load() > n })

	c := serve(t, socket, live(bottle("first", "Ready", "")))
	waitFor(t, "the controller is seen", shows("first"))
	c.Set(live(bottle("second", "Ready", "")))
	waitFor(t, "its change is seen", shows("second"))
	n = looks.Load()
	time.Sleep(50 * time.Millisecond)
	if looks.Load() != n {
		t.Error("the engine is asked though a controller runs")
	}
	c.stop()
	waitFor(t, "the engine is seen again", shows("engine"))
	if p := problem.Load(); p != nil {
		t.Errorf("told of a problem: %v", p)
	}
	engineDown.Store(true)
	waitFor(t, "the engine is missed", func() bool { return problem.Load() == "no engine" })
	serve(t, socket, live(bottle("third", "Ready", "")))
	waitFor(t, "the controller is back", shows("third"))
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

func TestFollowFails(t *testing.T) {
	_, _, socket := testApp(t)
	l := &lookout{controller: api.Dial(socket), pause: time.Millisecond, engine: func(context.Context) (reconciler.Status, error) {
		return reconciler.Status{}, errors.New("no engine")
	}}
	ignore := func(err error) { t.Errorf("told of %v", err) }
	if err := l.follow(t.Context(), func(reconciler.Status) error { return nil }, ignore); err == nil || err.Error() != "no engine" {
		t.Errorf("a first look that fails: %v", err)
	}
	serve(t, socket, live())
	if err := l.follow(t.Context(), func(reconciler.Status) error { return errClosed }, ignore); !errors.Is(err, errClosed) {
		t.Errorf("telling fails: %v", err)
	}
}

func TestStatusOutput(t *testing.T) {
	_, _, socket := testApp(t)
	want := live(conditions(bottle("a", "Ready", "", part(state.Pipelock, "running", 2)), 0, "", ""), bottle("b", "Failed", "<&>"))
	serve(t, socket, want)
	var stdout bytes.Buffer
	status := func(args ...string) error {
		stdout.Reset()
		a := &app{out: console{w: &stdout}, settings: settings{RunDir: filepath.Dir(socket), StateDir: "/nowhere"}}
		cmd := a.statusCommand()
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return cmd.ExecuteContext(t.Context())
	}
	for format, read := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(data []byte, v any) error { return yaml.UnmarshalStrict(data, v) },
	} {
		var got reconciler.Status
		if err := errors.Join(status("-o", format), read(stdout.Bytes(), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(reconciler.ComponentStatus{})); format == "json" && diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
		if got.Controller == nil || len(got.Bottles) != 2 {
			t.Errorf("%s: %+v", format, got)
		}
	}
	if err := status("b"); err != nil || strings.Contains(stdout.String(), "\na ") || !strings.Contains(stdout.String(), "b: <&>") {
		t.Errorf("one bottle: %v\n%s", err, &stdout)
	}
	if err := status("b", "x", "y"); err == nil || err.Error() != "there is no bottle \"x\"\nthere is no bottle \"y\"" || stdout.Len() > 0 {
		t.Errorf("missing: %v\n%s", err, &stdout)
	}
}

func TestNoBottlesIsAList(t *testing.T) {
	var b bytes.Buffer
	if err := (output{"json"}).bottles(console{w: &b}, nil); err != nil || b.String() != "{\n  \"bottles\": []\n}\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// watchOutput follows a few changes without a terminal.
func watchOutput(t *testing.T, format string, slugs ...string) string {
	t.Helper()
	a, out, socket := testApp(t)
	c := serve(t, socket, live(bottle("a", "Ready", ""), bottle("b", "Ready", "")))
	l, err := a.lookout()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.watchStatus(ctx, l, slugs, output{format}) }()
	for _, reason := range []string{"Ready", "Failed", "Drifted"} {
		next := live(bottle("a", reason, ""), bottle("b", "Ready", ""))
		next.Controller.Syncs = int64(len(reason))
		c.Set(next)
		waitFor(t, reason+" is printed", func() bool { return strings.Contains(out.String(), reason) })
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("interrupted: %v", err)
	}
	return out.String()
}

func TestWatchWithoutTerminal(t *testing.T) {
	tables := strings.Split(watchOutput(t, "table", "a", "none"), "\n\n")
	if len(tables) < 3 || len(tables) > 4 {
		t.Fatalf("%d tables: %q", len(tables), tables)
	}
	for _, table := range tables {
		if !strings.HasPrefix(table, "BOTTLE") || !strings.Contains(table, "\na ") || strings.Contains(table, "\nb ") ||
			!strings.Contains(table, `there is no bottle "none"`) {
			t.Errorf("table: %q", table)
		}
	}
	for i, l := range strings.Split(strings.TrimSpace(watchOutput(t, "json")), "\n") {
		var got reconciler.Status
		if err := json.Unmarshal([]byte(l), &got); err != nil || got.Controller == nil || len(got.Bottles) != 2 {
			t.Errorf("line %d: %q, %v", i, l, err)
		}
	}
	documents := strings.Split(watchOutput(t, "yaml"), "---\n")
	if documents[0] != "" || len(documents) < 4 {
		t.Errorf("%q", documents)
	}
	for _, d := range documents[1:] {
		var got reconciler.Status
		if err := yaml.UnmarshalStrict([]byte(d), &got); err != nil || len(got.Bottles) != 2 {
			t.Errorf("document %q: %v", d, err)
		}
	}
}

func TestFeed(t *testing.T) {
	var out bytes.Buffer
	var warned []string
	f := &feed{out: console{w: &out}, format: output{"json"}, warn: func(err error) { warned = append(warned, err.Error()) }}
	for range 3 {
		if err := f.show(live(bottle("a", "Ready", "<&>"))); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "<&>") {
		t.Errorf("the same three times: %q", got)
	}
	for _, e := range []string{"x", "x", "y"} {
		f.trouble(errors.New(e))
	}
	if err := f.show(live()); err != nil {
		t.Fatal(err)
	}
	f.trouble(errors.New("y"))
	if got := strings.Join(warned, " "); got != "x y y" {
		t.Errorf("warnings: %s", got)
	}
}

func TestDisplay(t *testing.T) {
	e := newEmulator(60, 12)
	d := &display{screen: &screen{out: console{w: e}, size: func() (int, int) { return e.width, e.height }}, slugs: []string{"a", "none"}}
	if err := d.show(live(bottle("a", "Failed", "no\nimage"), bottle("b", "Ready", ""))); err != nil {
		t.Fatal(err)
	}
	want := "there is no bottle \"none\"\nBOTTLE   PART   READY   STATE    IMAGE\na               no      Failed\n\na: no image\n"
	if got := e.text(); got != want {
		t.Errorf("%s", cmp.Diff(want, got))
	}
	d.trouble(fmt.Errorf("no\nengine"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.refresh(ctx) }()
	waitFor(t, "the trouble is shown", func() bool { return strings.HasPrefix(e.text(), "not up to date: no; engine\nBOTTLE") })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := e.restored(); err != nil {
		t.Error(err)
	}
}
