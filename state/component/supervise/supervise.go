// Package supervise is the component through which an agent asks a human for more than its bottle allows: an MCP server whose
// calls block until somebody answers.
package supervise

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

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

// answerTimeout is the client's timeout while it waits for a human's answer.
const answerTimeout = 24 * time.Hour

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

// forAgent mounts the current configuration for the agent, and configures Claude Code to use the MCP server.
func forAgent(c component.Context) (component.AgentSetup, error) {
	current, err := currentConfig(c)
	if err != nil {
		return component.AgentSetup{}, err
	}
	home, err := claudeFiles()
	return component.AgentSetup{Home: home, Mounts: []state.Mount{mountCurrent(current)}, Dirs: []state.Dir{current}}, err
}

// claudeFiles configure Claude Code to use supervise: for all its projects (.claude.json), and for a project in the home or below it
// (.mcp.json), which the settings approve, so that nobody has to be there to do it.
func claudeFiles() ([]state.HomeFile, error) {
	type object = map[string]any
	const name = contract.SuperviseName
	servers := object{"mcpServers": object{name: object{"type": "http", "url": contract.Supervise.URL(), "timeout": answerTimeout.Milliseconds()}}}
	settings := object{
		"enabledMcpjsonServers": []string{name},
		"permissions":           object{"allow": []string{"mcp__" + name}},
	}
	var files []state.HomeFile
	for _, f := range []struct {
		path    string
		content object
	}{{".claude.json", servers}, {".claude/settings.json", settings}, {".mcp.json", servers}} {
		text, err := json.MarshalIndent(f.content, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		files = append(files, state.HomeFile{Path: f.path, Content: string(text) + "\n", Merge: true})
	}
	return files, nil
}
