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
)

// after is what a controller reports when it has completed a number of resyncs.
func after(syncs int64, bottles ...reconciler.BottleStatus) reconciler.Status {
	s := apitest.Status(bottles...)
	s.Controller.Syncs = syncs
	return s
}

func TestAwaitSync(t *testing.T) {
	ready := apitest.Bottle("a", "Ready", "")
	outdated := ready
	outdated.Generation, outdated.ObservedGeneration = 2, 1
	unreachable := after(0, ready)
	unreachable.Controller.Engine = reconciler.EngineStatus{Error: "refused"}
	for name, test := range map[string]struct {
		then []reconciler.Status // one a second
		took time.Duration
		says string
	}{
		"in sync": {
			then: []reconciler.Status{
				after(0, ready),
				after(0, apitest.WithConditions(ready, 0, "looking", "")),
				after(1, apitest.WithConditions(ready, 0, "starting", "")),
				after(1, outdated),
				after(1, apitest.WithConditions(ready, 0, "", ""), apitest.Bottle("b", "Failed", "")),
			},
			took: 4 * time.Second,
		},
		"never done": {
			then: []reconciler.Status{after(0, ready), after(0, apitest.WithConditions(ready, 0, "pulls", ""), outdated)},
			took: 10 * time.Second,
			says: "not in sync after 10s:\n  the resync is not done\n  a is being reconciled (r: pulls)\n  a has a newer declaration that waits",
		},
		"no engine": {
			then: []reconciler.Status{unreachable}, took: 10 * time.Second,
			says: "not in sync after 10s:\n  the resync is not done\n  engine unreachable: refused",
		},
		"the controller ends": {then: []reconciler.Status{after(0, ready), {}}, took: time.Second, says: "not in sync: the stream ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				controller := &fakeController{}
				controller.set(&test.then[0])
				go func() {
					for _, s := range test.then[1:] {
						<-time.After(time.Second)
						if controller.set(&s); s.Controller == nil {
							controller.set(nil)
						}
					}
				}()
				began := time.Now()
				last, err := awaitSync(t.Context(), controller, 1, 10*time.Second)
				if test.says == "" && (err != nil || len(last.Bottles) != 2) || test.says != "" && (err == nil || err.Error() != test.says) {
					t.Errorf("%+v, %v, want %q", last, err, test.says)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
			})
		})
	}
}

func TestAwaitSyncInterrupted(t *testing.T) {
	controller := &fakeController{}
	status := after(0)
	controller.set(&status)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := awaitSync(ctx, controller, 1, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestRequestSync talks to a real socket, without a controller and with one.
func TestRequestSync(t *testing.T) {
	alone := &Service{Settings: Settings{Owner: "me", StateDir: t.TempDir(), RunDir: "/nonexistent"}}
	want := "no controller runs for owner me (socket /nonexistent/controller.sock): start one with bottled reconcile DIR"
	if _, err := alone.RequestSync(t.Context(), false); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	source := &apitest.Source{}
	source.Set(after(1, apitest.Bottle("a", "Ready", "")))
	s := serveAPI(t, source)
	number, err := s.RequestSync(t.Context(), true)
	if err != nil || number != 1 || !source.Pruned() {
		t.Errorf("resync %d, %v", number, err)
	}
	status, err := s.AwaitSync(t.Context(), number)
	if err != nil || len(status.Bottles) != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}
