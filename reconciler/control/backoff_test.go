package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

func TestDelayDoublesUpToAnEnd(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: maxBackoff, 10_000: maxBackoff} {
		for range 20 {
			if d := backoffDelay(n); d < want*9/10 || d > want*11/10 {
				t.Errorf("delay(%d) = %s, want %s, less or more by a tenth", n, d, want)
			}
		}
	}
}

func newTestController() *Controller {
	registry := prometheus.NewRegistry()
	return NewController(ControllerConfig{
		Reconciler: &pass.Reconciler{Settings: state.Settings{Owner: "o", Prefix: "p"}, Executor: &execute.Executor{}, Observer: observe.Observer{Cache: observe.OpenCache("/nonexistent")}},
		Source:     empty{}, Ports: &ports.Server{}, Desk: approve.New(approve.Config{}),
		Metrics: NewMetrics(registry), Registry: registry, Log: zerolog.Nop(), Resync: time.Minute,
	})
}

func TestCrashesAreCountedOnceAndForgottenWhenStable(t *testing.T) {
	c := newTestController()
	defer c.queue.ShutDown()
	began := time.Now()
	end := func(after time.Duration) reconciler.ComponentStatus {
		return reconciler.ComponentStatus{Component: state.Agent, State: engine.StateExited, ID: "id", EndedAt: began.Add(after)}
	}
	started := func(after time.Duration) { c.bottle("b").backoffOf(state.Agent).started = began.Add(after) }
	steps := []struct {
		what string
		do   func()
		part reconciler.ComponentStatus
		want int
	}{
		{"an end of before", func() {}, end(0), 0},
		{"the same end again", func() {}, end(0), 0},
		{"soon after it was started", func() { started(time.Second) }, end(2 * time.Second), 1},
		{"and again", func() { started(3 * time.Second) }, end(4 * time.Second), 2},
		{"killed by somebody", func() { c.killRequested["id"] = began }, end(5 * time.Second), 0},
		{"by itself again", func() { delete(c.killRequested, "id"); started(6 * time.Second) }, end(7 * time.Second), 3},
		{"after it ran for long", func() { started(8 * time.Second) }, end(8*time.Second + 2*stableAfter), 1},
	}
	for _, s := range steps {
		s.do()
		if got := c.countCrash("b", s.part); got != s.want {
			t.Errorf("%s: %d in a row, want %d", s.what, got, s.want)
		}
	}
}

func TestFailuresAreHeldBackForLonger(t *testing.T) {
	c := newTestController()
	defer c.queue.ShutDown()
	failure := &execute.StepError{Step: plan.Step{Action: plan.Start, Component: state.Pipelock, Object: "p-pipelock-b"}, Err: errors.New("no")}
	for n := 1; n <= 4; n++ {
		c.recordFailure("b", errors.Join(failure, errors.New("and the clean-up")))
		until, why := c.bottle("b").retryTime(time.Now())
		stuck := c.bottle("b").isStalled()
		if left := time.Until(until); left < backoffDelay(n)*7/10 || !errors.Is(why, failure.Err) || stuck != (n >= stalledAfter) {
			t.Errorf("failure %d: held for %s, hopeless: %v, why: %v", n, left, stuck, why)
		}
	}
	if c.bottle("b").backoffOf(state.Pipelock).failures != 4 {
		t.Error("the failure is not the part's")
	}
	c.acceptDeclaration("b", 1, "g")
	if until, _ := c.bottle("b").retryTime(time.Now()); !until.IsZero() {
		t.Error("a new declaration is held back for the old one's failure")
	}
}

func TestConditions(t *testing.T) {
	t0, t1 := time.Unix(100, 0), time.Unix(200, 0)
	of := func(ready bool, reason string) reconciler.BottleStatus {
		return reconciler.BottleStatus{Ready: ready, Reason: reason, Message: "m"}
	}
	first := conditions(nil, of(false, reconciler.ReasonNotReady), working, t0)
	second := conditions(first, of(false, reconciler.ReasonFailed), retrying, t1)
	third := conditions(second, of(true, reconciler.ReasonReady), settled, t1)
	for _, s := range []struct {
		name               string
		c                  []reconciler.Condition
		ready, work, stuck string
		since              time.Time
	}{
		{"working", first, statusFalse, statusTrue, statusFalse, t0},
		{"retrying", second, statusFalse, statusTrue, statusFalse, t0},
		{"ready", third, statusTrue, statusFalse, statusFalse, t1},
		{"stalled", conditions(third, of(false, reconciler.ReasonCrashing), stalled, t1), statusFalse, statusFalse, statusTrue, t1},
		{"unreachable", conditions(third, of(false, reconciler.ReasonUnreachable), settled, t1), statusUnknown, statusFalse, statusFalse, t1},
	} {
		if s.c[0].Status != s.ready || s.c[1].Status != s.work || s.c[2].Status != s.stuck || !s.c[0].LastTransitionTime.Equal(s.since) {
			t.Errorf("%s: %+v", s.name, s.c)
		}
	}
}

// TestEventsWakeTheirBottle sends an engine's events to the controller, and checks which bottle is enqueued.
func TestEventsWakeTheirBottle(t *testing.T) {
	for _, s := range []struct {
		name  string
		event engine.Event
		want  string
	}{
		{"ours", engine.Event{Kind: engine.EventEnded, Owner: "o", Slug: "b", Container: "id"}, "b"},
		{"another owner's", engine.Event{Kind: engine.EventEnded, Owner: "x", Slug: "b", Container: "id"}, ""},
		{"nobody's", engine.Event{Kind: engine.EventEnded, Container: "id"}, ""},
		{"a foreign container on our network", engine.Event{Kind: engine.EventConnected, Container: "foreign", Network: "p-net-b"}, "b"},
		{"our network removed", engine.Event{Kind: engine.EventRemoved, Network: "p-egress-b"}, "b"},
		{"a network that looks like ours", engine.Event{Kind: engine.EventConnected, Container: "foreign", Network: "p-net-other"}, ""},
		{"a kill, which is told again as a death", engine.Event{Kind: engine.EventKillRequested, Owner: "o", Slug: "b", Container: "id"}, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newTestController()
			c.bottle("b")
			c.handleEvent(s.event)
			c.queue.ShutDown()
			got, _ := c.queue.Get()
			if got != s.want {
				t.Errorf("woke %q, want %q", got, s.want)
			}
			_, ordered := c.killRequested["id"]
			if ordered != (s.event.Kind == engine.EventKillRequested) {
				t.Errorf("counts as ordered: %v", ordered)
			}
		})
	}
}

// TestEngineGoneIsToldOnce loses the engine many times over.
func TestEngineGoneIsToldOnce(t *testing.T) {
	c := newTestController()
	defer c.queue.ShutDown()
	var logged int
	c.Log = zerolog.New(nil).Hook(zerolog.HookFunc(func(*zerolog.Event, zerolog.Level, string) { logged++ }))
	c.disconnect = context.CancelCauseFunc(func(error) {})
	c.bottle("b").publish(reconciler.BottleStatus{Slug: "b", Ready: true, Reason: reconciler.ReasonReady}, settled)
	c.markReachable()
	for range 100 {
		c.dropConnection(errors.Join(engine.ErrUnavailable, errors.New("list containers")))
	}
	if b := c.Status().Bottles[0]; logged != 1 || b.Ready || b.Conditions[0].Status != statusUnknown {
		t.Errorf("told %d times; %+v", logged, b)
	}
	c.markReachable()
	if b := c.Status().Bottles[0]; logged != 2 || !b.Ready || b.Conditions[0].Status != statusTrue {
		t.Errorf("told %d times; %+v", logged, b)
	}
}
