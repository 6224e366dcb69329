package plan

import (
	"maps"
	"testing"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// TestEngineThatCannotRepair replaces what an engine of fewer capabilities can't change in place, and nothing else.
func TestEngineThatCannotRepair(t *testing.T) {
	for name, c := range map[string]struct {
		lacks func(*engine.Capabilities)
		drift func(t *testing.T, w *world)
		more  state.ComponentName // that is replaced beside pipelock
	}{
		"limits": {func(c *engine.Capabilities) { c.UpdateLimits = false }, func(_ *testing.T, w *world) { w.container(state.Pipelock).Container.Limits.Pids = 7 }, ""},
		"pause":  {func(c *engine.Capabilities) { c.Unpause = false }, func(_ *testing.T, w *world) { w.container(state.Pipelock).State = engine.StatePaused }, ""},
		"networks": {func(c *engine.Capabilities) { c.Reconnect = false }, func(_ *testing.T, w *world) {
			pipelock := w.container(state.Pipelock)
			pipelock.Endpoints = append(pipelock.Endpoints, engine.Endpoint{Network: "bridge", NetworkID: "b"})
		}, ""},
		"reload": {func(c *engine.Capabilities) { c.Reload = false }, func(t *testing.T, w *world) {
			w.manifest.Spec.Egress.Allowlist = v1alpha1.Allow("example.org")
			w.desire(t)
		}, state.CredProxy},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.drift(t, w)
			for _, s := range steps(w.plan()) {
				if s.Action == Remove {
					t.Fatalf("an engine that can repair it replaces %s", s.Object)
				}
			}
			c.lacks(&w.have.Capabilities)
			replaced := map[Action]string{}
			for _, s := range steps(w.plan()) {
				if s.Component != "" {
					replaced[s.Action] += string(s.Component)
				}
			}
			want := map[Action]string{
				Remove: string(c.more + state.Pipelock), Create: string(state.Pipelock + c.more), Start: string(state.Pipelock + c.more),
			}
			if !maps.Equal(replaced, want) {
				t.Errorf("got %v, want %v", replaced, want)
			}
		})
	}
}

func steps(p Plan) (all []Step) {
	for _, b := range p.Bottles {
		all = append(all, b.Steps...)
	}
	return all
}
