package sim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// interference is what somebody else does to a component while bottled works on it.
type interference struct {
	name string
	do   func(w *world, container string) error
	says string // what some status or log line must say of it
}

var interferences = []interference{
	{"pause", func(w *world, c string) error { return w.hands.Pause(c) }, "paused"},
	{"stop", func(w *world, c string) error { return w.hands.Stop(c) }, "ended"},
	{"kill", func(w *world, c string) error { return w.hands.Kill(c) }, "ended"},
	{"crash", func(w *world, c string) error { return w.hands.Crash(c, 3) }, "ended"},
	{"remove", func(w *world, c string) error { return w.hands.Remove(c) }, "removed|missing"},
	{"disconnect", func(w *world, c string) error { return w.hands.Disconnect(c, prefix+"-net-a") }, "not on network"},
	{"extra network", func(w *world, c string) error { return w.hands.Connect(c, "foreign") }, "on network foreign"},
	{"update", func(w *world, c string) error { return w.hands.Update(c, state.Limits{Memory: 1 << 40, Pids: 9}) }, "limits"},
	{"rename", func(w *world, c string) error { return w.hands.Rename(c, "stolen") }, "name"},
}

// moment is when it happens: a delay after the first call of a verb for the component.
type moment struct {
	name  string
	verb  string
	after time.Duration
	// begin has the verb come for the component.
	begin func(w *world, c state.ComponentName)
}

func restart(w *world, c state.ComponentName) {
	if err := w.hands.Crash(name(c, "a"), 1); err != nil {
		w.t.Error(err)
	}
}

func reloadAll(w *world, _ state.ComponentName) {
	w.edit(func(b *v1alpha1.Bottle) {
		b.Spec.Egress.Allowlist = v1alpha1.Allow("example.com", "example.org")
		b.Spec.CredProxy.Routes = []route.Route{{Path: "/other/", Upstream: "https://other.example", AuthScheme: "Bearer", Token: route.SecretRef{Env: "TOKEN"}}}
	})
}

var moments = []moment{
	{"while it is started", "start_container", 0, restart},
	{"just after its start", "start_container", 2 * time.Millisecond, restart},
	{"while it is awaited", "wait_ready", 30 * time.Millisecond, restart},
	{"while it is reloaded", "reload", 5 * time.Millisecond, reloadAll},
}

// saboteur interferes once, at a moment.
type saboteur struct {
	w         *world
	moment    moment
	container string
	act       func() error

	once sync.Once
	done chan struct{} // closed once it has acted
}

func (s *saboteur) around(ctx context.Context, c engine.Call, next func(context.Context) error) error {
	id, _ := s.w.hands.ID(s.container)
	if c.Verb == s.moment.verb && c.Object == id && id != "" {
		s.once.Do(func() {
			time.AfterFunc(s.moment.after, func() {
				defer close(s.done)
				err := s.act()
				for ; err != nil && strings.Contains(err.Error(), "does not run"); err = s.act() { // its start is under way
					<-time.After(100 * time.Microsecond)
				}
				if err != nil {
					s.w.t.Errorf("interfere: %v", err)
				}
			})
		})
	}
	return next(ctx)
}

// TestInterference has somebody else change every component at every moment. It must be seen at once, be named, and be repaired.
func TestInterference(t *testing.T) {
	for _, m := range moments {
		for _, c := range []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Agent} {
			if m.verb == "reload" && (c == state.Supervise || c == state.Agent) {
				continue // these are not reloaded
			}
			for _, i := range interferences {
				t.Run(fmt.Sprintf("%s/%s %s", i.name, c, m.name), func(t *testing.T) { interfere(t, m, c, i) })
			}
		}
	}
}

// shownWithin is when an engine's listings show what happened.
const shownWithin = 250 * time.Millisecond

// seenWithin is how long it may take until something is seen and repaired: a start, a wait, and what the engine shows late.
const seenWithin = 5 * time.Second

func interfere(t *testing.T, m moment, c state.ComponentName, i interference) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		s := &saboteur{w: w, moment: m, container: name(c, "a"), done: make(chan struct{})}
		s.act = func() error { return i.do(w, name(c, "a")) }
		w.run(s.around)
		w.settle(10 * time.Second)
		w.said.reset()
		m.begin(w, c)
		select {
		case <-s.done:
		case <-time.After(time.Minute):
			t.Fatalf("there was no %s of %s", m.verb, c)
		}
		w.pass(shownWithin)
		w.settle(seenWithin)
		said := w.said.String()
		for word := range strings.SplitSeq(i.says, "|") {
			if strings.Contains(said, word) {
				return
			}
		}
		t.Errorf("nothing says %q:\n%s", i.says, said)
	})
}
