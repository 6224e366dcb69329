package observe

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// logs is an engine that only has a log.
type logs struct {
	engine.Engine
	text string
	hang bool // the container goes on and says nothing more
}

func (l logs) Logs(ctx context.Context, _ string, _ time.Time, _ int, _ bool) (io.ReadCloser, error) {
	if !l.hang {
		return io.NopCloser(strings.NewReader(l.text)), nil
	}
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, l.text)
		<-ctx.Done()
		_ = w.CloseWithError(ctx.Err())
	}()
	return r, nil
}

func line(cause, config, failure string, at time.Time) string {
	return `{"level":"info","time":"` + at.Format(time.RFC3339Nano) + `","event":"config","cause":"` + cause + `","config":"` + config + `","error":"` + failure + "\"}\n"
}

func TestAwait(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after, before := since.Add(time.Second), since.Add(-time.Second)
	noise := "not JSON\n{\"event\":\"request\"}\n"
	for name, c := range map[string]struct {
		log  string
		hang bool
		want string // "" for success
	}{
		"at once":                   {noise + line("start", "new", "", after), true, ""},
		"and then it ends":          {line("start", "new", "", after), false, ""},
		"an older run said it":      {line("start", "new", "", before), false, "ended before it was ready"},
		"another cause":             {line("file", "new", "", after), false, "ended before it was ready"},
		"another configuration":     {line("start", "old", "", after), true, "not ready in time"},
		"the right one later":       {line("start", "old", "", after) + line("start", "new", "", after), true, ""},
		"refused":                   {line("start", "old", "unknown key", after), true, "unknown key"},
		"ended, with its last line": {noise + "panic: boom\n", false, "panic: boom"},
		"silent":                    {"", true, "not ready in time"},
		"ended silently":            {"", false, "its log is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, errors.New("not ready in time"))
			defer cancel()
			report, err := Await(ctx, logs{text: c.log, hang: c.hang}, "id", since, "new", "start")
			if c.want == "" && (err != nil || report.Config != "new" || !report.At.Equal(after)) {
				t.Errorf("%+v, %v", report, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.json")
	s := engine.Summary{ID: "a", Name: "n", State: engine.StateRunning, Endpoints: []engine.Endpoint{{Network: "net", NetworkID: "id1", ID: "ep1"}}}
	c := OpenCache(path)
	if _, ok := c.get(s); ok {
		t.Error("an empty cache knows a container")
	}
	c.put([]ObservedContainer{{Summary: s, Detail: engine.Detail{ExitCode: 7, EndedAt: time.Unix(100, 0)}}}, "")
	c.SetReport("a", Report{Config: "x", At: time.Unix(101, 0)})
	if got, ok := c.get(s); !ok || got.ExitCode != 7 || got.Config != "x" {
		t.Errorf("%+v %v", got, ok)
	}
	c.put([]ObservedContainer{{Summary: s, Detail: engine.Detail{ExitCode: 7}, Config: "x"}}, "")
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	again := OpenCache(path)
	if got, ok := again.get(s); !ok || got.Config != "x" {
		t.Errorf("after a restart: %+v %v", got, ok)
	}
	for what, change := range map[string]func(*engine.Summary){
		"a restart": func(s *engine.Summary) {
			s.Endpoints = []engine.Endpoint{{Network: "net", NetworkID: "id1", ID: "ep2"}}
		},
		"a network": func(s *engine.Summary) {
			s.Endpoints = append(s.Endpoints, engine.Endpoint{Network: "other", NetworkID: "id2", ID: "ep3"})
		},
		"a stop":     func(s *engine.Summary) { s.State = engine.StateExited },
		"a new name": func(s *engine.Summary) { s.Name = "m" },
		"a new ID":   func(s *engine.Summary) { s.ID = "b" },
	} {
		changed := s
		change(&changed)
		if _, ok := again.get(changed); ok {
			t.Errorf("%s is not noticed", what)
		}
	}
	again.Forget("a")
	if _, ok := again.get(s); ok {
		t.Error("not forgotten")
	}
}
