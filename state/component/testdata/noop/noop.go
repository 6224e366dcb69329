// Package noop is a sidecar that does nothing, for a test: what a component must say of itself to be one.
package noop

import (
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// Inside the container and the agent.
const (
	ConfigDir = "/etc/noop"
	AgentDir  = "/run/noop"
)

var itself = contract.Component{Name: "noop", Port: 9200, Reachable: true, AgentPaths: []string{AgentDir}}

// Kind is the component.
var Kind = component.Kind{
	Component: itself,
	Needed:    func(c component.Context) bool { return c.Manifest.Metadata.Labels["noop"] == "yes" },
	Render:    render,
	ForAgent:  forAgent,
	Limits:    state.Limits{Memory: 32 << 20, NanoCPUs: 1e8, Pids: 16},
	Reloads:   true, Reports: true,
	Image:  &component.ImageSetting{Default: state.Builtin, Usage: "`image` of noop"},
	Colour: "34",
}

func files(c component.Context) map[string][]byte {
	return map[string][]byte{"motd": []byte("nothing happens in " + c.Slug() + "\n")}
}

func dir(c component.Context) state.Dir {
	return c.Dir("noop", map[string]state.File{"motd": {Content: state.NewContent(files(c)["motd"]), Mode: 0o444}})
}

func render(c component.Context) (state.Component, []state.Dir, error) {
	m := c.Sidecar("run", "--config-dir", ConfigDir)
	d := dir(c)
	m.Container.Mounts = []state.Mount{{Source: d.Path, Target: ConfigDir, ReadOnly: true}}
	if c.Builtin(m.Name) {
		m.Config = configdigest.Of(files(c))
	}
	return m, []state.Dir{d}, nil
}

func forAgent(c component.Context) (component.AgentSetup, error) {
	d := dir(c)
	return component.AgentSetup{
		Env:    map[string]string{"NOOP_URL": itself.URL()},
		Mounts: []state.Mount{{Source: d.Path, Target: AgentDir, ReadOnly: true}},
		Dirs:   []state.Dir{d},
	}, nil
}
