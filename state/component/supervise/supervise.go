// Package supervise is the component through which an agent asks a human for more than its bottle allows: an MCP server whose
// calls block until somebody answers.
package supervise

import (
	"strconv"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/credproxy"
	"github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// The environment of the program.
const (
	EnvSlug     = "SUPERVISE_BOTTLE_SLUG"
	EnvQueueDir = "SUPERVISE_QUEUE_DIR"
	EnvPort     = "SUPERVISE_PORT"
)

// GoMemoryLimit is the program's soft limit of memory, in bytes.
const GoMemoryLimit = 192 << 20

// Kind is the component. It does not reload: it reads the current configuration whenever it is asked.
var Kind = component.Kind{
	Component: contract.Supervise,
	Needed:    func(c component.Context) bool { return c.Manifest.Spec.Supervise },
	Render:    render,
	ForAgent:  forAgent,
	Limits:    component.SidecarLimits(), GoMemoryLimit: GoMemoryLimit,
	Reports: true, Audited: true,
	Image:  &component.ImageSetting{Default: state.Builtin, Legacy: "CLAUDE_BOTTLE_SUPERVISE_IMAGE", Usage: "`image` of supervise"},
	Colour: "35",
}

func render(c component.Context) (state.Component, []state.Dir, error) {
	m := c.Sidecar("run")
	queue := state.Dir{Path: c.Settings.QueueDir(c.Slug()), Spool: true}
	current, err := currentConfig(c)
	if err != nil {
		return state.Component{}, nil, err
	}
	m.Container.Env = map[string]string{EnvSlug: c.Slug(), EnvQueueDir: contract.QueueDir, EnvPort: strconv.Itoa(c.Kind.Port)}
	m.Container.Mounts = []state.Mount{{Source: queue.Path, Target: contract.QueueDir}, mountCurrent(current)}
	if c.Builtin(m.Name) {
		m.Config = configdigest.Of(nil)
	}
	return m, []state.Dir{queue, current}, nil
}

// mountCurrent is at the same place in the agent and in supervise, so that both speak of the same files.
func mountCurrent(dir state.Dir) state.Mount {
	return state.Mount{Source: dir.Path, Target: contract.CurrentConfigDir, ReadOnly: true}
}

// currentConfig is what the agent may read of its own bottle before it asks for more. supervise reads it too.
func currentConfig(c component.Context) (state.Dir, error) {
	routes, err := credproxy.Routes(c)
	if err != nil {
		return state.Dir{}, err
	}
	file := func(content string) state.File {
		return state.File{Content: state.NewContent([]byte(content)), Mode: 0o444}
	}
	files := map[string]state.File{
		"routes.json": file(string(routes)),
		"allowlist":   file(component.Lines(pipelock.Allowlist(c))),
		// Without it supervise could not check which addresses can be allowed at all.
		"private-cidrs": file(component.Lines(c.Manifest.Spec.Egress.PrivateCIDRs)),
	}
	if c.AgentImage != "" {
		files["Dockerfile"] = file(dockerfile(c))
	}
	return c.Dir("current-config", files), nil
}

// dockerfile is what the agent's image was made by, or a Dockerfile that makes the same.
func dockerfile(c component.Context) string {
	if c.Inputs.Build != nil {
		return string(c.Inputs.Build.Text)
	}
	return "FROM " + c.AgentImage + "\n"
}
