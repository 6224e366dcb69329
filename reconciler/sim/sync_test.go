package sim

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// sync requests a resync, waits until the status says that everything is done, and returns that status.
func (w *world) sync(confirm bool) reconciler.Status {
	w.t.Helper()
	number := w.controller.Sync(confirm)
	for end := time.Now().Add(time.Minute); ; {
		synctest.Wait()
		status := w.controller.Status()
		waits := func(b reconciler.BottleStatus) bool { return b.Outdated() || b.IsTrue(reconciler.ConditionReconciling) }
		if status.Controller.Syncs >= number && !slices.ContainsFunc(status.Bottles, waits) {
			return status
		}
		if time.Now().After(end) {
			w.t.Fatalf("no end of the resync: %+v", status)
		}
		<-time.After(time.Millisecond)
	}
}

// TestSyncPrunesWhatItConfirms: manifests that were removed a moment ago are carried over for a while, in which a confirmation must
// not get lost; nor in a resync that fails.
func TestSyncPrunesWhatItConfirms(t *testing.T) {
	for name, refused := range map[string]int64{"at once": 0, "after a resync that failed": 2} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				var left atomic.Int64
				w.declare(full("a"), full("b"), full("c"))
				w.run(func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
					if c.Verb == "list_networks" && left.Add(-1) >= 0 {
						return errRefused
					}
					return next(ctx)
				})
				w.settle(10 * time.Second)
				w.source.grace = 2 * time.Second
				w.withdraw("a", "b", "c")
				left.Store(refused)
				if status := w.sync(true); len(status.Bottles) != 0 {
					t.Errorf("in sync with %+v", status.Bottles)
				}
				w.wantContainers(0)
			})
		})
	}
}

// TestConfirmationEnds: bottles that vanish long after somebody confirmed something else are kept.
func TestConfirmationEnds(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		down := atomic.Bool{}
		c := w.run(func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
			if down.Load() && c.Verb == "list_networks" {
				return errRefused
			}
			return next(ctx)
		})
		w.settle(10 * time.Second)
		down.Store(true)
		c.Sync(true)
		w.pass(10 * time.Minute)
		w.withdraw("a")
		down.Store(false)
		w.pass(10 * time.Minute)
		if s, ok := w.status("a"); !ok || s.Reason != reconciler.ReasonHeld {
			t.Errorf("%+v", s)
		}
		w.wantContainers(4)
	})
}

// TestSyncWaitsForItsPasses: what a resync found is being reconciled until a pass that began after it has ended, also while an
// earlier pass goes on.
func TestSyncWaitsForItsPasses(t *testing.T) {
	simulate(t, func(w *world) {
		var slow atomic.Bool
		w.declare(full("a"), full("b"))
		w.run(func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
			err := next(ctx)
			if slow.Load() && c.Verb == "list_images" { // what a pass has seen by then gets old
				<-time.After(3 * time.Second)
			}
			return err
		})
		w.settle(10 * time.Second)
		slow.Store(true)
		if err := w.hands.Update(name(state.Agent, "a"), state.Limits{Memory: 1 << 30, Pids: 100}); err != nil { // as they are: a pass for nothing
			t.Fatal(err)
		}
		w.pass(time.Second)
		if err := w.hands.Connect(name(state.Agent, "a"), prefix+"-egress-a"); err != nil {
			t.Fatal(err)
		}
		w.sync(false)
		w.controller = nil // its own word was the test
		if err := w.converged(); err != nil {
			t.Errorf("in sync, and %v", err)
		}
	})
}
