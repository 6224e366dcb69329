package plan

import (
	"testing"

	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// TestHeldBack shows what is left of a plan when something failed or crashed a moment ago: what cuts off an escape, and
// what does not depend on the failure.
func TestHeldBack(t *testing.T) {
	broken := func(w *world) {
		for _, p := range []state.ComponentName{state.Pipelock, state.CredProxy} {
			w.container(p).State = engine.StateExited
		}
		w.without(state.Supervise)
		agent := w.container(state.Agent)
		agent.Endpoints = append(agent.Endpoints, engine.Endpoint{Network: "bridge", NetworkID: "x", ID: "y"})
		agent.Container.Limits.Pids = 1
	}
	for name, held := range map[string]map[state.ComponentName]string{
		"held-nothing":    {},
		"held-pipelock":   {state.Pipelock: "it crashes"},
		"held-cred-proxy": {state.CredProxy: "it crashes"},
		"held-supervise":  {state.Supervise: "its image can't be had"},
		"held-bottle":     {"": "its network can't be made"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			broken(w)
			p := w.plan()
			before := text(t, p) + graph(p)
			p.Bottles = []BottlePlan{p.Bottles[0].Without(held)}
			golden.Check(t, "testdata/plan/"+name+".golden", text(t, p))
			golden.Check(t, "testdata/graph/"+name+".golden", graph(p))
			again := w.plan()
			if text(t, again)+graph(again) != before {
				t.Error("holding back changed what was planned")
			}
		})
	}
}
