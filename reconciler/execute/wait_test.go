package execute

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/engine"
)

// sleeper is an engine whose calls take the time that the container's name says, and knows no other calls.
type sleeper struct {
	engine.Engine
	began time.Time

	mu    sync.Mutex
	calls []string
}

func (s *sleeper) take(what, id string) error {
	s.mu.Lock()
	s.calls = append(s.calls, time.Since(s.began).String()+" "+what+" "+id)
	s.mu.Unlock()
	_, takes, _ := strings.Cut(id, "-")
	d, err := time.ParseDuration(takes)
	timer := time.NewTimer(d)
	<-timer.C
	return err
}

func (s *sleeper) StopContainer(_ context.Context, id string, _ time.Duration) error {
	return s.take("stop", id)
}

func (s *sleeper) UnpauseContainer(_ context.Context, id string) error { return s.take("unpause", id) }

// TestSlotIsLentWhileABottleOnlyWaits: a bottle that waits for a long stop lets another one work, but not while one of its own steps
// works.
func TestSlotIsLentWhileABottleOnlyWaits(t *testing.T) {
	step := func(a plan.Action, id string, after ...int) plan.Step {
		return plan.Step{Action: a, Object: id, ContainerID: id, After: after}
	}
	for name, test := range map[string]struct {
		first []plan.Step
		want  []string
	}{
		"short waits": {
			[]plan.Step{step(plan.Stop, "a-1s"), step(plan.Stop, "b-1s", 0), step(plan.Stop, "c-1s", 1)},
			[]string{"0s stop a-1s", "1s stop b-1s", "2s stop c-1s", "3s unpause other-1s"},
		},
		"a long wait": {
			[]plan.Step{step(plan.Stop, "a-10s"), step(plan.Unpause, "b-1s", 0)},
			[]string{"0s stop a-10s", "2s unpause other-1s", "10s unpause b-1s"},
		},
		"a long wait beside work": {
			[]plan.Step{step(plan.Stop, "a-10s"), step(plan.Unpause, "b-3s"), step(plan.Unpause, "c-1s", 1)},
			[]string{"0s stop a-10s", "0s unpause b-3s", "3s unpause c-1s", "4s unpause other-1s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &sleeper{began: time.Now()}
				x := &Executor{Engine: e, Parallel: 1, OnProgress: func(Progress) {}}
				var group sync.WaitGroup
				bottle := func(slug string, steps ...plan.Step) {
					group.Go(func() {
						if err := x.Bottle(t.Context(), plan.BottlePlan{Slug: slug, Steps: steps}); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				bottle("first", test.first...)
				bottle("other", step(plan.Unpause, "other-1s"))
				group.Wait()
				slices.Sort(e.calls) // those of one moment come in any order
				slices.Sort(test.want)
				if !slices.Equal(e.calls, test.want) {
					t.Errorf("calls: %q, want %q", e.calls, test.want)
				}
			})
		})
	}
}
