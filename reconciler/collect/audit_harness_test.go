package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// outputs is an engine with containers' output. It keeps the last lines only, as an engine that rotates its logs.
type outputs struct {
	engine.Engine // nil: what is not overridden must not be asked

	mu         sync.Mutex
	containers map[string]*written // by ID
	keep       int                 // lines
	down       bool
	hang       bool
	calls      []string
}

type written struct {
	bottle    string
	component state.ComponentName
	number    int
	lines     []engine.LogLine
	flood     []byte // as many more of these lines as anybody reads
}

func (e *outputs) addPipelock(id, bottle string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id] = &written{bottle: bottle, component: state.Pipelock}
}

// set changes something.
func (e *outputs) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// forgetCalls returns the calls so far, and begins anew.
func (e *outputs) forgetCalls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

func (e *outputs) remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
}

// write adds a line to a container's log. No two have the same time.
func (e *outputs) write(id, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, at := e.containers[id], time.Now()
	if n := len(c.lines); n > 0 && !at.After(c.lines[n-1].At) {
		at = c.lines[n-1].At.Add(1)
	}
	c.lines = append(c.lines, engine.LogLine{At: at, Text: []byte(text + "\n")})
	c.lines = c.lines[max(0, len(c.lines)-e.keep):]
}

func (e *outputs) deny(id, host string) {
	e.mu.Lock()
	e.containers[id].number++
	n := e.containers[id].number
	e.mu.Unlock()
	e.write(id, fmt.Sprintf(`{"event":"egress","action":"deny","host":%q,"run":"r","number":%d}`, host, n))
}

func (e *outputs) Containers(context.Context, string, string) (all []engine.Summary, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return nil, engine.ErrUnavailable
	}
	for id, c := range e.containers {
		all = append(all, engine.Summary{ID: id, Labels: map[string]string{state.LabelSlug: c.bottle, state.LabelRole: string(c.component)}})
	}
	return all, nil
}

func (e *outputs) StreamLogs(ctx context.Context, id string, o engine.LogOptions, tell func(engine.LogLine) error) error {
	e.mu.Lock()
	c, hang, down := e.containers[id], e.hang, e.down
	e.calls = append(e.calls, "read")
	var lines []engine.LogLine
	var flood []byte
	if c != nil {
		lines, flood = slices.Clone(c.lines), c.flood
	}
	e.mu.Unlock()
	switch {
	case hang:
		<-ctx.Done()
		return ctx.Err()
	case down:
		return engine.ErrUnavailable
	case c == nil:
		return engine.ErrNotFound
	}
	if o.Tail >= 0 {
		lines = lines[max(0, len(lines)-o.Tail):]
	}
	for _, line := range lines {
		if line.At.Before(o.Since) {
			continue
		}
		if err := tell(line); err != nil {
			return err
		}
	}
	for flood != nil && ctx.Err() == nil {
		<-time.After(time.Millisecond)
		if err := tell(engine.LogLine{At: time.Now(), Text: flood}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (e *outputs) StopContainer(_ context.Context, id string, _ time.Duration) error {
	e.set(func() { e.calls = append(e.calls, "stop") })
	e.deny(id, "last.example")
	return nil
}

func (e *outputs) RemoveContainer(_ context.Context, id string) error {
	e.set(func() { e.calls = append(e.calls, "remove") })
	e.remove(id)
	return nil
}

// lockedBuffer is a log that many write to.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// auditBench is a collector on such an engine.
type auditBench struct {
	*testing.T
	engine    *outputs
	settings  state.Settings
	log       lockedBuffer
	collector *Collector // the one that collecting runs
}

func newAuditBench(t *testing.T) *auditBench {
	b := &auditBench{T: t, engine: &outputs{containers: map[string]*written{}, keep: 5000}, settings: state.Settings{StateDir: t.TempDir()}}
	b.engine.addPipelock("p1", "dev")
	return b
}

func (b *auditBench) newCollector() *Collector {
	return NewCollector(b.engine, b.settings, zerolog.New(&b.log))
}

// collecting runs a test beside a collector that polls, in virtual time.
func collecting(t *testing.T, test func(b *auditBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		b.collector = b.newCollector()
		done := make(chan struct{})
		go func() { defer close(done); b.collector.Run(ctx) }()
		defer func() { cancel(); <-done }()
		test(b)
	})
}

// pass lets virtual time pass.
func (b *auditBench) pass(d time.Duration) { <-time.After(d) }

// records are those of a bottle, and hosts theirs.
func (b *auditBench) records(bottle string) (all []audit.Record, hosts []string) {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.settings.AuditDir(), bottle+".jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			b.Fatal(err)
		}
		all = append(all, r)
		if r.Kind == audit.KindEgress {
			if slices.Contains(hosts, string(r.Host)) {
				b.Errorf("%s is on record twice", r.Host)
			}
			hosts = append(hosts, string(r.Host))
		}
	}
	return all, hosts
}

func (b *auditBench) wantHosts(bottle string, n int) {
	b.Helper()
	if all, hosts := b.records(bottle); len(hosts) != n || len(all) != n {
		b.Errorf("%d records, %d of them of a host; want %d: %.500v", len(all), len(hosts), n, hosts)
	}
}
