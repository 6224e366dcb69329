package activity

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// host is an engine whose containers use what a test says.
type host struct {
	mu    sync.Mutex
	calls int
	uses  map[string]engine.Usage
	delay time.Duration
}

func (h *host) Usage(_ context.Context, id string) (engine.Usage, error) {
	time.Sleep(h.delay)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	u, found := h.uses[id]
	if !found {
		return u, fmt.Errorf("%w: %s", engine.ErrNotFound, id)
	}
	return u, nil
}

func (h *host) set(id string, cpu time.Duration, memory, limit int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uses[id] = engine.Usage{CPU: cpu, Memory: memory, MemoryLimit: limit, Processes: 3}
}

func runningBottle(names ...string) reconciler.BottleStatus {
	b := reconciler.BottleStatus{Slug: "a"}
	for _, n := range names {
		b.Components = append(b.Components, reconciler.ComponentStatus{Component: state.ComponentName(n), Name: n, State: engine.StateRunning})
	}
	return b
}

func TestMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{uses: map[string]engine.Usage{}}
		h.set("agent", 10*time.Second, 100, 400)
		h.set("pipelock", time.Second, 10, 50)
		bottles := []reconciler.BottleStatus{runningBottle("agent", "pipelock", "gone"), {Slug: "b", Components: []reconciler.ComponentStatus{{Name: "x", State: "exited"}}}}
		rejection := &reconciler.Rejection{Route: "/a/", Status: "429"}
		requests := func(bottle string, _ time.Time) (uint64, uint64, *reconciler.Rejection) {
			if bottle == "b" {
				return 7, 5, rejection
			}
			return 0, 0, nil
		}
		var m Meter
		m.Measure(t.Context(), h, bottles, requests)
		time.Sleep(2 * time.Second)
		h.set("agent", 13*time.Second, 120, 400) // one and a half CPUs
		h.set("pipelock", 0, 10, 0)              // started anew, without a limit
		want := map[string]reconciler.BottleActivity{
			"a": {CPU: 1.5, Memory: 130, Components: []reconciler.ComponentActivity{
				{Component: "agent", CPU: 1.5, Memory: 120, MemoryLimit: 400, Processes: 3}, {Component: "pipelock", Memory: 10, Processes: 3},
			}},
			"b": {Requests: 7, Denied: 5, Rejection: rejection, Components: []reconciler.ComponentActivity{}},
		}
		if diff := cmp.Diff(want, m.Measure(t.Context(), h, bottles, requests).Bottles, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSampler measures while somebody looks, and at no other time.
func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{uses: map[string]engine.Usage{}, delay: 10 * time.Millisecond}
		h.set("agent", time.Second, 100, 400)
		s := &Sampler{Engine: h, Bottles: func() []reconciler.BottleStatus { return []reconciler.BottleStatus{runningBottle("agent")} }}
		calls := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.calls
		}
		time.Sleep(time.Hour)
		if calls() != 0 {
			t.Errorf("%d calls, and nobody looks", calls())
		}
		one, leaveOne := s.Look()
		two, leaveTwo := s.Look()
		time.Sleep(time.Minute)
		if n := calls(); n < 28 || n > 32 {
			t.Errorf("%d calls in a minute", n)
		}
		first, second := <-one, <-two
		if !first.Time.Equal(second.Time) || time.Since(first.Time) > 2*Interval || first.Bottles["a"].Memory != 100 {
			t.Errorf("%+v, %+v", first, second)
		}
		late, leaveLate := s.Look()
		if len(late) != 1 {
			t.Error("who looks later waits for the next measurement")
		}
		leaveOne()
		leaveTwo()
		leaveLate()
		leaveLate()
		before := calls()
		time.Sleep(time.Hour)
		if n := calls() - before; n > 1 {
			t.Errorf("%d calls after everybody left", n)
		}
		again, leave := s.Look()
		if a := <-again; a.Bottles["a"].CPU != 0 {
			t.Errorf("%+v", a)
		}
		leave()
		synctest.Wait()
	})
}

// TestSlowEngine is asked less often.
func TestSlowEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{uses: map[string]engine.Usage{}, delay: 10 * time.Second}
		s := &Sampler{Engine: h, Bottles: func() []reconciler.BottleStatus { return []reconciler.BottleStatus{runningBottle("agent")} }}
		_, leave := s.Look()
		time.Sleep(100 * time.Second)
		h.mu.Lock()
		if h.calls > 5 {
			t.Errorf("%d calls", h.calls)
		}
		h.mu.Unlock()
		leave()
		time.Sleep(time.Minute)
	})
}
