package plan

import (
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// TestInterruptedRunsAreRecorded: whatever stops an agent that runs says so beforehand, and nothing else does.
func TestInterruptedRunsAreRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(w *world)
		interrupted bool
	}{
		"nothing":   {change: func(*world) {}},
		"allowlist": {change: func(w *world) { w.manifest.Spec.Egress.Allowlist = nil; w.desire(t) }},
		"replaced": {interrupted: true, change: func(w *world) {
			agent := *w.manifest.Spec.Agent
			agent.Command = []string{"codex"}
			w.manifest.Spec.Agent = &agent
			w.desire(t)
		}},
		"no agent any more": {interrupted: true, change: func(w *world) { w.manifest.Spec.Agent = nil; w.desire(t) }},
		"network remade":    {interrupted: true, change: func(w *world) { w.have.Networks[0].Internal = false }},
		"suspended":         {interrupted: true, change: func(w *world) { w.manifest.Spec.Suspend = true; w.desire(t) }},
		"removed":           {interrupted: true, change: func(w *world) { w.want, w.prune = Desired{}, PruneAll }},
		"restarted": {interrupted: true, change: func(w *world) {
			w.want.Bottles[0].Restart = map[state.ComponentName]state.Run{state.Agent: runOf(*w.container(state.Agent))}
		}},
		"ended already": {change: func(w *world) {
			w.endAgent(t, v1alpha1.RestartOnFailure, 143)
			w.manifest.Spec.Suspend = true
			w.desire(t)
		}},
	} {
		w := newWorld(t)
		w.container(state.Agent).StartedAt = time.Unix(100, 0)
		run := runOf(*w.container(state.Agent))
		c.change(w)
		runs := w.plan().Bottles[0].Runs
		if got := runs != nil && runs.Interrupted.Is(run); got != c.interrupted {
			t.Errorf("%s: on record is %+v, want the run: %v", name, runs, c.interrupted)
		}
	}
}
