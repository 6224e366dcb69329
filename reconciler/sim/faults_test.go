package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// fault is what goes wrong with one call.
type fault string

const (
	refuse      fault = "refused"
	loseAnswer  fault = "answer lost"
	hang        fault = "hangs"
	conflict    fault = "conflict"
	notFound    fault = "not found"
	crashBefore fault = "crash before"
	crashAfter  fault = "crash after"
)

var faults = []fault{refuse, loseAnswer, hang, conflict, notFound, crashBefore, crashAfter}

// injector has one fault happen at one call of a controller, counted from when it is armed.
type injector struct {
	fault fault
	at    int64

	armed   atomic.Bool
	calls   atomic.Int64
	crashed chan struct{} // closed at a crash: this controller's connection is gone for good

	mu  sync.Mutex
	hit engine.Call
}

func newInjector(f fault, at int64) *injector {
	return &injector{fault: f, at: at, crashed: make(chan struct{})}
}

var errRefused = errors.New("refused by the test")

func (i *injector) around(ctx context.Context, c engine.Call, next func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-i.crashed:
			cancel()
		case <-stop:
		}
	}()
	if i.isCrashed() {
		return engine.ErrUnavailable
	}
	if !i.armed.Load() || i.calls.Add(1) != i.at {
		err := next(ctx)
		if i.isCrashed() {
			return engine.ErrUnavailable
		}
		return err
	}
	i.mu.Lock()
	i.hit = c
	i.mu.Unlock()
	return i.inject(ctx, next)
}

func (i *injector) inject(ctx context.Context, next func(context.Context) error) error {
	switch i.fault {
	case refuse:
		return errRefused
	case conflict:
		return engine.ErrConflict
	case notFound:
		return engine.ErrNotFound
	case hang:
		<-ctx.Done()
		return context.Cause(ctx)
	case crashBefore:
		close(i.crashed)
	case loseAnswer, crashAfter:
		if err := next(ctx); err != nil {
			return err
		}
		if i.fault == crashAfter {
			close(i.crashed)
		}
	}
	return fmt.Errorf("%w: %s", engine.ErrUnavailable, i.fault)
}

func (i *injector) isCrashed() bool {
	select {
	case <-i.crashed:
		return true
	default:
		return false
	}
}

// scenario is a change of what is declared, on a world that is as declared.
type scenario struct {
	name   string
	cold   bool // nothing exists yet
	change func(w *world)
	check  func(w *world) error // of the outcome; nil for none
	task   *tasks               // what the agents do; nil: they run on
	bottle func(slug string) v1alpha1.Bottle
}

var scenarios = []scenario{
	{name: "cold converge", cold: true, change: func(*world) {}},
	{name: "change", change: func(w *world) { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent = agentOf(agent2) }) }},
	{name: "prune", change: func(w *world) { w.withdraw("a") }},
	{name: "reload", change: func(w *world) {
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.com", "example.org") })
	}},
	{name: "token", change: func(w *world) { w.source.change(func(map[string]v1alpha1.Bottle) { w.source.token = "another" }) }},
	{name: "suspend", change: func(w *world) { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = true }) }},
	{name: "cut", change: func(w *world) { w.order(reconciler.OrderCut, "") }, check: (*world).isCut},
	{name: "task", cold: true, task: &tasks{}, change: func(*world) {}},
	{name: "task again", task: &tasks{again: 1}, change: func(w *world) { w.order(reconciler.OrderRestart, state.Agent) }},
	{name: "volumes", cold: true, change: func(*world) {}, bottle: withVolumes, check: (*world).hasVolumes},
	{name: "services", cold: true, change: func(*world) {}, bottle: withServices, check: func(w *world) error { return w.volumesAre("a/data", "b/data") }},
	{name: "service removed", bottle: withServices, change: func(w *world) { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Services = services()[1:] }) }},
	{name: "prune with volumes", bottle: withVolumes, check: (*world).keptVolumes, change: func(w *world) {
		w.before = w.hands.Volumes()
		w.withdraw("a")
	}},
	{name: "ports", cold: true, change: func(*world) {}, bottle: withPort, check: isOpen("a", "b")},
	{name: "ports of one that is cut off", bottle: withPort, check: isOpen("b"), change: func(w *world) { w.order(reconciler.OrderCut, "") }},
	{name: "prune with ports", bottle: withPort, check: isOpen("b"), change: func(w *world) { w.withdraw("a") }},
	{name: "restart", change: func(w *world) { w.order(reconciler.OrderRestart, "") }, check: (*world).isRestarted},
}

func agentOf(image string) *v1alpha1.Agent {
	return &v1alpha1.Agent{Image: image, Resources: v1alpha1.Resources{Memory: "1Gi", Pids: 100}}
}

// play runs a scenario under a fault, and returns an error when the world does not become as declared.
func (s scenario) play(w *world, i *injector) error {
	var done *counter
	if s.task == nil {
		bottle := full
		if s.bottle != nil {
			bottle = s.bottle
		}
		w.declare(bottle("a"), bottle("b"))
	} else {
		done = w.doTasks(*s.task)
		w.declare(small("a"))
	}
	if !s.cold {
		w.run(i.around)
		if err := w.settled(10 * time.Second); err != nil {
			return err
		}
		i.armed.Store(true)
		s.change(w)
	} else {
		i.armed.Store(true)
		w.run(i.around)
	}
	err := w.settled(2 * time.Second)
	if i.isCrashed() { // a new process
		w.run(nil)
		err = errors.New("crashed")
	}
	if err != nil {
		err = w.settled(20 * time.Minute)
	}
	if err == nil && s.check != nil {
		err = s.check(w)
	}
	if err == nil && done != nil {
		err = done.check(w)
	}
	return err
}

// calls counts the calls of a scenario without a fault.
func (s scenario) calls(t *testing.T) (n int64) {
	simulate(t, func(w *world) {
		i := newInjector("", -1)
		if err := s.play(w, i); err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		n = i.calls.Load()
	})
	return n
}

// TestFaultMatrix injects every fault into every call of every scenario.
func TestFaultMatrix(t *testing.T) {
	for _, s := range scenarios {
		n := s.calls(t)
		var passed, total atomic.Int64
		t.Run(s.name, func(t *testing.T) {
			for at := int64(1); at <= n; at++ {
				for _, f := range faults {
					t.Run(fmt.Sprintf("%s at call %d", f, at), func(t *testing.T) {
						t.Parallel()
						total.Add(1)
						s.inject(t, f, at)
						if !t.Failed() {
							passed.Add(1)
						}
					})
				}
			}
		})
		t.Logf("fault matrix: %s: %d calls, %d/%d passed", s.name, n, passed.Load(), total.Load())
	}
}

func (s scenario) inject(t *testing.T, f fault, at int64) {
	simulate(t, func(w *world) {
		i := newInjector(f, at)
		if err := s.play(w, i); err != nil {
			t.Errorf("%s (%s %s): %v", f, i.hit.Verb, i.hit.Object, err)
		}
	})
}
