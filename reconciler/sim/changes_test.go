package sim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// changes returns the records of bottled's own changes of bottle a.
func (w *world) changes() (all []audit.Change) {
	w.t.Helper()
	log, err := os.ReadFile(filepath.Join(w.settings.AuditDir(), "a.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var c audit.Change
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			w.t.Fatal(err)
		}
		if c.Kind == audit.KindChange {
			all = append(all, c)
		}
	}
	return all
}

// TestChangesAreRecorded makes a bottle, of which a step fails once, has somebody restart it, changes it, and removes it: each step and
// each order is in its audit log, with how it ended, and the log is as it was written at any time.
func TestChangesAreRecorded(t *testing.T) {
	simulate(t, func(w *world) {
		w.audited = true
		w.declare(full("a"), full("b")) // not all bottles are removed at once
		agent := name(state.Agent, "a")
		var failed atomic.Bool
		w.run(func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
			if c.Verb == "create_container" && c.Object == agent && failed.CompareAndSwap(false, true) {
				return errors.New("the disk is\x1b[2J broken")
			}
			return next(ctx)
		})
		seen := 0
		since := func(what string) []audit.Change {
			t.Helper()
			w.settle(30 * time.Second)
			all := w.changes()
			added := all[seen:]
			seen = len(all)
			if v, err := audit.Verify(audit.VerifyOptions{Dir: w.settings.AuditDir(), Bottles: []string{"a"}}); err != nil || len(v.Findings)+len(v.Notes) > 0 || v.Records == 0 {
				t.Errorf("%s: %+v, %v", what, v, err)
			}
			return added
		}
		want := func(what string, changes []audit.Change, match func(c audit.Change) bool) {
			t.Helper()
			if !slices.ContainsFunc(changes, match) {
				t.Errorf("%s is not on record: %+v", what, changes)
			}
		}
		made := since("made")
		want("the agent's creation", made, func(c audit.Change) bool {
			return c.Action == "create" && c.Object == agent && c.Component == "agent" && c.Result == audit.ChangeDone && c.Generation == 1 && c.SpecHash != "" && c.Who == ""
		})
		want("the failed creation", made, func(c audit.Change) bool {
			return c.Action == "create" && c.Result == audit.ChangeFailed && strings.Contains(c.Error, "the disk is") && !strings.Contains(c.Error, "\x1b")
		})
		w.orderAndWait(reconciler.OrderRestart, state.Agent)
		restarted := since("restarted")
		if len(restarted) < 2 || restarted[0].Action != "restart" || restarted[0].Who != "anna" || restarted[0].Component != "agent" || restarted[0].Result != "" {
			t.Errorf("the order is not before its steps: %+v", restarted)
		}
		w.edit(func(b *v1alpha1.Bottle) {
			changed := *b.Spec.Agent
			changed.Image = agent2
			b.Spec.Agent = &changed
		})
		want("the new agent", since("changed"), func(c audit.Change) bool {
			return c.Object == agent && c.Generation == 2 && c.Result == audit.ChangeDone
		})
		w.withdraw("a")
		want("the removal", since("removed"), func(c audit.Change) bool {
			return c.Action == "remove" && c.Object == agent && c.Generation == 0 && c.Cause != "" && c.Result == audit.ChangeDone
		})
	})
}
