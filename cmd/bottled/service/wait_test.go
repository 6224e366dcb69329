package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// ended is a bottle a whose agent has ended.
func ended(reason, phase string, code int) reconciler.BottleStatus {
	agent := apitest.Component(state.Agent, "exited", 0)
	agent.Phase, agent.Ended = phase, &reconciler.Ending{ExitCode: code, At: apitest.Now}
	return apitest.Bottle("a", reason, "", agent)
}

func TestAwait(t *testing.T) {
	agent := apitest.Component(state.Agent, "running", 0)
	ready := apitest.Bottle("a", "Ready", "", agent)
	working := apitest.WithConditions(ended("Completed", "Completed", 0), 0, "it restarts", "")
	outdated := ended("Completed", "Completed", 0)
	outdated.Generation, outdated.ObservedGeneration = 2, 1
	starting := apitest.Bottle("a", "NotReady", "agent: it is missing")
	for name, test := range map[string]struct {
		what Awaited
		now  reconciler.Status
		then reconciler.Status // a second later
		took time.Duration
		says string
	}{
		"ready":                {what: AwaitReady, now: apitest.Status(starting), then: apitest.Status(ready), took: time.Second},
		"ready already":        {what: AwaitReady, now: apitest.Status(ready), then: apitest.Status(starting)},
		"never ready":          {what: AwaitReady, now: apitest.Status(starting), then: apitest.Status(starting), took: 10 * time.Second, says: "not ready after 10s: bottle a: NotReady: agent: it is missing"},
		"not known yet":        {what: AwaitReady, now: apitest.Status(), then: apitest.Status(ready), took: time.Second},
		"never known":          {what: AwaitReady, now: apitest.Status(), then: apitest.Status(), took: 10 * time.Second, says: `there is no bottle "a"`},
		"suspended":            {what: AwaitReady, now: apitest.Status(apitest.Bottle("a", "Suspended", "")), says: "bottled resume a"},
		"ended instead":        {what: AwaitReady, now: apitest.Status(ended("Completed", "Completed", 0)), says: "its agent has ended: Completed with exit code 0"},
		"completed":            {what: AwaitCompleted, now: apitest.Status(ready), then: apitest.Status(ended("Completed", "Completed", 0)), took: time.Second},
		"failed":               {what: AwaitCompleted, now: apitest.Status(ready), then: apitest.Status(ended("AgentFailed", "Failed", 3)), took: time.Second},
		"about to run again":   {what: AwaitCompleted, now: apitest.Status(working), then: apitest.Status(ready), took: 10 * time.Second, says: "not completed after 10s: bottle a: Ready"},
		"of an older manifest": {what: AwaitCompleted, now: apitest.Status(outdated), then: apitest.Status(ended("Completed", "Completed", 0)), took: time.Second},
		"no agent":             {what: AwaitCompleted, now: apitest.Status(apitest.Bottle("a", "Ready", "")), says: "has no agent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				controller := &fakeController{}
				controller.set(&test.now)
				timer := time.AfterFunc(time.Second, func() { controller.set(&test.then) })
				defer timer.Stop()
				began := time.Now()
				reached, err := await(t.Context(), &StatusSource{controller: controller, interval: time.Second}, []string{"a"}, test.what, 10*time.Second)
				if test.says == "" && (err != nil || len(reached) != 1) || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("%+v, %v, want %q", reached, err, test.says)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
			})
		})
	}
}

// TestAwaitWithoutController asks the engine, where nobody is about to declare a bottle.
func TestAwaitWithoutController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		source := &StatusSource{controller: &fakeController{}, interval: time.Second, engine: func(context.Context) (reconciler.Status, error) {
			if asked++; asked < 3 {
				return reconciler.Status{Bottles: []reconciler.BottleStatus{apitest.Bottle("a", "Ready", "", apitest.Component(state.Agent, "running", 0))}}, nil
			}
			return reconciler.Status{Bottles: []reconciler.BottleStatus{ended("Completed", "Completed", 0)}}, nil
		}}
		if reached, err := await(t.Context(), source, []string{"a"}, AwaitCompleted, time.Minute); err != nil || len(reached) != 1 || asked != 3 {
			t.Errorf("asked %d times: %+v, %v", asked, reached, err)
		}
		began := time.Now()
		if _, err := await(t.Context(), source, []string{"a", "b"}, AwaitCompleted, time.Minute); err == nil || !errors.Is(err, reconciler.ErrNoBottle) || time.Since(began) > 0 {
			t.Errorf("a bottle that does not exist: %v after %s", err, time.Since(began))
		}
	})
}
