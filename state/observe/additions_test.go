package observe

import (
	"testing"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// What a new version adds must not replace the containers that an earlier one made.
func TestAdditions(t *testing.T) {
	added := state.Additions{Init: true, Env: map[string]string{"NODE_USE_ENV_PROXY": "1"}}
	container := func(env map[string]string, a state.Additions) state.Container {
		c := state.Container{Name: "c", Env: env, Additions: a, Labels: map[string]string{}}
		c.Labels[state.LabelHash] = c.Hash()
		return c
	}
	for name, test := range map[string]struct {
		want state.Container
		got  state.Container // as the engine shows it
		same bool
	}{
		"made by this version":      {container(nil, added), container(added.Env, state.Additions{Init: true}), true},
		"made by an earlier one":    {container(nil, added), container(nil, state.Additions{}), true},
		"with an init that is gone": {container(nil, state.Additions{}), container(nil, state.Additions{Init: true}), false},
		"with another value":        {container(nil, added), container(map[string]string{"NODE_USE_ENV_PROXY": "0"}, state.Additions{}), false},
		"declared otherwise":        {container(map[string]string{"NODE_USE_ENV_PROXY": "0"}, added), container(added.Env, state.Additions{Init: true}), false},
	} {
		t.Run(name, func(t *testing.T) {
			have := ObservedContainer{Summary: engine.Summary{Name: "c", Labels: test.want.Labels}, Detail: engine.Detail{Container: test.got}}
			if d := Diff(test.want, have, nil, ""); (len(d.Recreate) == 0) != test.same {
				t.Errorf("differences: %v, want none: %t", d.Recreate, test.same)
			}
		})
	}
}
