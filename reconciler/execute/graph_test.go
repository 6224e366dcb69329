package execute

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/engine"
)

// unpauser is an engine that resumes containers, and knows nothing else: any other call panics.
type unpauser struct {
	engine.Engine
	fails map[string]error
	hold  map[string]chan struct{} // a call ends when its channel is closed

	mu     sync.Mutex
	begun  []string
	active int
	most   int
}

func (u *unpauser) UnpauseContainer(_ context.Context, id string) error {
	u.mu.Lock()
	u.begun = append(u.begun, id)
	u.active++
	u.most = max(u.most, u.active)
	u.mu.Unlock()
	if hold := u.hold[id]; hold != nil {
		<-hold
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active--
	return u.fails[id]
}

// graphOf makes a plan of the steps' prerequisites; step i resumes container "i".
func graphOf(after ...[]int) plan.BottlePlan {
	p := plan.BottlePlan{Slug: "dev"}
	for i, on := range after {
		name := string(rune('0' + i))
		p.Steps = append(p.Steps, plan.Step{ID: i, After: on, Action: plan.Unpause, Object: name, ContainerID: name})
	}
	return p
}

func (u *unpauser) executor() *Executor {
	return &Executor{Engine: u, Parallel: 1, OnProgress: func(Progress) {}}
}

func TestStepsBeginWhenTheirPrerequisitesAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unpauser{hold: map[string]chan struct{}{"1": make(chan struct{}), "2": make(chan struct{})}}
		ended := make(chan error, 1)
		go func() {
			ended <- u.executor().Bottle(t.Context(), graphOf(nil, []int{0}, []int{0}, []int{1}, []int{2, 3}))
		}()
		expectBegun := func(want string) {
			t.Helper()
			synctest.Wait()
			u.mu.Lock()
			defer u.mu.Unlock()
			slices.Sort(u.begun)
			if got := strings.Join(u.begun, ""); got != want {
				t.Errorf("begun: %s, want %s", got, want)
			}
		}
		expectBegun("012")
		close(u.hold["1"])
		expectBegun("0123")
		close(u.hold["2"])
		expectBegun("01234")
		if err := <-ended; err != nil || u.most != 2 {
			t.Errorf("%v, %d at once", err, u.most)
		}
	})
}

// TestFailedStep: its dependents don't start, the rest continue, and every failure is returned.
func TestFailedStep(t *testing.T) {
	no, gone := errors.New("no"), engine.ErrNotFound
	for name, test := range map[string]struct {
		fails map[string]error
		begun string
		says  string
		stale bool
	}{
		"one":            {map[string]error{"1": no}, "0124", "unpause 1: no", false},
		"two":            {map[string]error{"1": no, "2": gone}, "012", "unpause 1: no\nunpause 2: " + gone.Error(), false},
		"first":          {map[string]error{"0": no}, "0", "unpause 0: no", false},
		"all were stale": {map[string]error{"1": gone, "2": gone}, "012", ErrStale.Error() + ": unpause 1: " + gone.Error() + "\nunpause 2: " + gone.Error(), true},
	} {
		u := &unpauser{fails: test.fails}
		err := u.executor().Bottle(t.Context(), graphOf(nil, []int{0}, []int{0}, []int{1}, []int{2}))
		slices.Sort(u.begun)
		if begun := strings.Join(u.begun, ""); err == nil || begun != test.begun || err.Error() != test.says || errors.Is(err, ErrStale) != test.stale {
			t.Errorf("%s: begun %s, want %s; error:\n%v\nwant:\n%s", name, begun, test.begun, err, test.says)
		}
		failed := StepErrors(err)
		if len(failed) != len(test.fails) {
			t.Errorf("%s: failed steps: %v", name, failed)
		}
		for _, f := range failed {
			if !errors.Is(f, test.fails[f.Step.Object]) {
				t.Errorf("%s: step %s: %v", name, f.Step.Object, f)
			}
		}
	}
}

// TestInterruptedGraph ends the context while steps are in hand: they are finished, and no other one is begun.
func TestInterruptedGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancelCause(t.Context())
		u := &unpauser{hold: map[string]chan struct{}{"0": make(chan struct{}), "1": make(chan struct{})}}
		ended := make(chan error, 1)
		go func() { ended <- u.executor().Bottle(ctx, graphOf(nil, nil, []int{0}, []int{1}, []int{3})) }()
		synctest.Wait()
		interrupt(errNewer)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("it ended before its steps: %v", err)
		default:
		}
		close(u.hold["1"])
		close(u.hold["0"])
		err := <-ended
		if !errors.Is(err, errNewer) || err.Error() != "interrupted before: unpause 2: "+errNewer.Error() || len(u.begun) != 2 {
			t.Errorf("%v; begun: %v", err, u.begun)
		}
	})
}

// TestInterruptedAtTheEnd: when nothing is left to begin, an execution that was interrupted is complete.
func TestInterruptedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		u := &unpauser{hold: map[string]chan struct{}{"0": make(chan struct{})}}
		ended := make(chan error, 1)
		go func() { ended <- u.executor().Bottle(ctx, graphOf(nil)) }()
		synctest.Wait()
		interrupt()
		close(u.hold["0"])
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
