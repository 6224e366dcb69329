package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// The services of services.
const (
	db    = state.ServicePrefix + "db"
	cache = state.ServicePrefix + "cache"
)

func services() []v1alpha1.Service {
	return []v1alpha1.Service{
		{Name: "db", Image: agent1, Volumes: []v1alpha1.Volume{{Name: "data", Target: "/data"}}, Healthcheck: &v1alpha1.Healthcheck{Command: []string{"ok"}}},
		{Name: "cache", Image: agent2},
	}
}

func withServices(slug string) v1alpha1.Bottle {
	b := small(slug)
	b.Spec.Services = services()
	return b
}

// serviceName is the name of a service's container.
func serviceName(component state.ComponentName, slug string) string {
	return state.ContainerName(prefix, component, slug)
}

// startOrder notes in which order the containers of bottle a are started.
type startOrder struct {
	w     *world
	began time.Time
	mu    sync.Mutex
	of    []string
}

func (o *startOrder) around(ctx context.Context, c engine.Call, next func(context.Context) error) error {
	if c.Verb == "start_container" {
		if detail, err := o.w.engine.Inspect(ctx, c.Object); err == nil {
			o.mu.Lock()
			o.of = append(o.of, fmt.Sprintf("%s after %s", detail.Container.Labels[state.LabelRole], time.Since(o.began).Round(time.Second)))
			o.mu.Unlock()
		}
	}
	return next(ctx)
}

// TestServicesAreReadyBeforeTheAgent starts services in the order in which they are declared, each when the one before is healthy, and
// the agent at last.
func TestServicesAreReadyBeforeTheAgent(t *testing.T) {
	simulate(t, func(w *world) {
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == db {
				*p = fake.Program{Boot: 20 * time.Second, Health: engine.HealthHealthy}
			}
		}
		w.declare(withServices("a"))
		o := &startOrder{w: w, began: time.Now()}
		w.run(o.around)
		w.settle(time.Minute)
		if want := []string{"pipelock after 0s", "service-db after 0s", "service-cache after 20s", "agent after 21s"}; !slices.Equal(o.of, want) {
			t.Errorf("started: %q, want %q", o.of, want)
		}
		s, _ := w.status("a")
		var components []string
		for _, c := range s.Components {
			components = append(components, fmt.Sprintf("%s %s %t", c.Component, c.State, c.Ready))
		}
		if want := []string{"pipelock running true", "service-db running true", "service-cache running true", "agent running true"}; !slices.Equal(components, want) {
			t.Errorf("status: %q, want %q", components, want)
		}
	})
}

// TestServiceIsKept has services healed whatever happens to them, and the agent left alone meanwhile.
func TestServiceIsKept(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withServices("a"))
		w.run(nil)
		w.settle(time.Minute)
		w.before = w.hands.Volumes()
		agent, _ := w.hands.ID(name(state.Agent, "a"))
		service := serviceName(db, "a")
		for what, do := range map[string]func() error{
			"ends well":          func() error { return w.hands.Crash(service, 0) },
			"crashes":            func() error { return w.hands.Crash(service, 1) },
			"is killed":          func() error { return w.hands.Kill(service) },
			"exceeds its memory": func() error { return w.hands.OOM(service) },
			"is paused":          func() error { return w.hands.Pause(service) },
			"is removed":         func() error { return w.hands.Remove(service) },
			"gets a way out":     func() error { return w.hands.Connect(service, prefix+"-egress-a") },
			"is impersonated": func() error {
				return w.hands.Change(service, func(c *state.Container) { c.Command = []string{"other"} })
			},
			"is ordered to restart": func() error {
				w.order(reconciler.OrderRestart, db)
				return nil
			},
		} {
			w.must(what, do())
			w.controller.Sync(false)
			w.pass(10 * time.Minute)
			w.settle(5 * time.Minute)
			w.must(what, w.volumesAre("a/data"))
			if id, running := w.hands.ID(name(state.Agent, "a")); id != agent || !running {
				t.Errorf("%s: the agent was replaced or runs no more", what)
			}
		}
	})
}

// TestServiceThatCrashes is tried again with a growing pause, and the agent waits for it.
func TestServiceThatCrashes(t *testing.T) {
	simulate(t, func(w *world) {
		starts := 0
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == db {
				starts++
				*p = fake.Program{EndsAfter: 100 * time.Millisecond, ExitCode: 3}
			}
		}
		w.declare(withServices("a"))
		w.run(nil)
		w.pass(time.Hour)
		if starts < 5 || starts > 60 {
			t.Errorf("in an hour it was started %d times", starts)
		}
		s, _ := w.status("a")
		if s.Ready || !s.IsTrue(reconciler.ConditionStalled) || !strings.Contains(s.Message, "service-db") {
			t.Errorf("the bottle is %+v", s)
		}
		if _, running := w.hands.ID(name(state.Agent, "a")); running {
			t.Error("the agent runs without its database")
		}
		w.program = nil
		w.controller.Sync(false)
		w.settle(10 * time.Minute)
	})
}

// TestServiceIsReplacedAndRemoved follows the manifest.
func TestServiceIsReplacedAndRemoved(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withServices("a"))
		w.run(nil)
		w.settle(time.Minute)
		w.before = w.hands.Volumes()
		first, _ := w.hands.ID(serviceName(db, "a"))
		other, _ := w.hands.ID(serviceName(cache, "a"))
		w.edit(func(b *v1alpha1.Bottle) {
			b.Spec.Services = services()
			b.Spec.Services[0].Env = map[string]v1alpha1.EnvValue{"A": {Text: "b"}}
		})
		w.settle(time.Minute)
		if id, _ := w.hands.ID(serviceName(db, "a")); id == first {
			t.Error("the service was not replaced")
		}
		if id, _ := w.hands.ID(serviceName(cache, "a")); id != other {
			t.Error("another service was replaced")
		}
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Services = services()[1:] })
		w.settle(time.Minute)
		if id, _ := w.hands.ID(serviceName(db, "a")); id != "" {
			t.Error("the service is still there")
		}
		w.must("removed", w.volumesAre("a/data"))
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = true })
		w.settle(time.Minute)
		if _, running := w.hands.ID(serviceName(cache, "a")); running {
			t.Error("a service of a suspended bottle runs")
		}
		w.withdraw("a")
		w.prune = "all"
		w.run(nil)
		w.settle(time.Minute)
	})
}
