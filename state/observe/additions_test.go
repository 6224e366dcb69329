package observe

import (
	"maps"
	"testing"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// What a version adds must not replace the containers that another one made.
func TestAdditions(t *testing.T) {
	type vars = map[string]string
	image := vars{"PATH": "/bin", "JAVA_TOOL_OPTIONS": "-Xmx1g"}
	declared := vars{"COUNT": "1", "KEY_0": "a"}
	adds := func(env vars) state.Additions { return state.Additions{Init: true, QuickDNS: true, Env: env} }
	now := adds(vars{"COUNT": "2", "KEY_1": "b", "NODE_USE_ENV_PROXY": "1", "JAVA_TOOL_OPTIONS": "-Dhttp.proxyHost=pipelock"})
	container := func(env vars, a state.Additions) state.Container {
		c := state.Container{Name: "c", Env: env, Additions: a, Labels: vars{}}
		c.Labels[state.LabelHash] = c.Hash()
		return c
	}
	// made is a container as the engine shows it.
	made := func(c state.Container, change func(env vars)) ObservedContainer {
		env, labels := c.NewEnv(image)
		seen := maps.Clone(image)
		maps.Copy(seen, env)
		if change != nil {
			change(seen)
		}
		c.Env, c.Labels, c.Additions = seen, labels, state.Additions{Init: c.Additions.Init, QuickDNS: c.Additions.QuickDNS, Launcher: c.Additions.Launcher}
		return ObservedContainer{
			Summary: engine.Summary{Name: "c", Labels: labels}, Detail: engine.Detail{Container: c, Defaults: engine.ImageDefaults{Env: image}},
		}
	}
	want := container(declared, now)
	imageGone := made(want, nil)
	imageGone.Defaults.Env = imageGone.Container.Env
	for name, test := range map[string]struct {
		want state.Container
		have ObservedContainer
		same bool
	}{
		"made by this version":        {want, made(want, nil), true},
		"made by one without any":     {want, made(container(declared, state.Additions{}), nil), true},
		"made by one with others":     {want, made(container(declared, adds(vars{"COUNT": "3", "KEY_1": "x", "KEY_2": "y", "OLD": "z"})), nil), true},
		"made by one with more":       {container(declared, state.Additions{Init: true, QuickDNS: true}), made(want, nil), true},
		"its image is gone":           {want, imageGone, true},
		"with an init that is gone":   {container(nil, state.Additions{}), made(container(nil, state.Additions{Init: true}), nil), false},
		"with a launcher, unasked":    {container(nil, state.Additions{}), made(container(nil, state.Additions{Launcher: true}), nil), false},
		"with quick DNS, unasked":     {container(nil, state.Additions{}), made(container(nil, state.Additions{QuickDNS: true}), nil), false},
		"with another value":          {want, made(want, func(env vars) { env["NODE_USE_ENV_PROXY"] = "0" }), false},
		"with one missing":            {want, made(want, func(env vars) { delete(env, "KEY_1") }), false},
		"with one more":               {want, made(want, func(env vars) { env["LD_PRELOAD"] = "x" }), false},
		"with another declared value": {want, made(want, func(env vars) { env["KEY_0"] = "x" }), false},
		"with the declared count":     {want, made(want, func(env vars) { env["COUNT"] = "1" }), false},
		"declared otherwise":          {container(vars{"COUNT": "1", "KEY_0": "c"}, now), made(want, nil), false},
		"declared by its own name":    {container(vars{"COUNT": "1", "KEY_0": "a", "NODE_USE_ENV_PROXY": "1"}, now), made(want, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			if d := Diff(test.want, test.have, nil, ""); (len(d.Recreate) == 0) != test.same {
				t.Errorf("differences: %v, want none: %t", d.Recreate, test.same)
			}
		})
	}
	if env, _ := want.NewEnv(image); env["JAVA_TOOL_OPTIONS"] != "" || env["COUNT"] != "2" || env["KEY_0"] != "a" {
		t.Errorf("the environment is %v", env)
	}
}
