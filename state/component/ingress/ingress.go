// Package ingress is the component that connects the host with ports of the agent (package relay). It is on the internal network only,
// listens nowhere, and can write nothing, so that one that was taken over reaches what the agent reaches, and nothing else.
package ingress

import (
	"errors"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// GoMemoryLimit is the program's soft limit of memory, in bytes.
const GoMemoryLimit = 192 << 20

// OneSession is the flag of the program that ends it when its stdin is closed.
const OneSession = "until-stdin-closes"

// Kind is the component of a bottle that declares ports. Which ports is up to the host: a change of them does not concern it.
var Kind = component.Kind{
	Component: contract.Ingress,
	Needed:    func(c component.Context) bool { return c.AgentImage != "" && len(c.Manifest.ListensOn()) > 0 },
	Render:    render,
	Limits:    component.SidecarLimits(), GoMemoryLimit: GoMemoryLimit,
	Reports: true,
	Image:   &component.ImageSetting{Default: state.Builtin, Usage: "`image` of the ingress"},
	Colour:  "34",
}

// PortForward is the component that `bottled port-forward` makes: the same program for as long as the command runs.
var PortForward = component.Kind{
	Component: contract.Component{Name: string(state.PortForward)},
	Ready:     component.ReadyWhenStable,
	Limits:    Kind.Limits, GoMemoryLimit: GoMemoryLimit,
}

// ErrNoImage marks a bottled that can't serve as the ingress' image.
var ErrNoImage = errors.New("this bottled is linked dynamically and can't serve as the image of the ingress: build it with CGO_ENABLED=0, or set --ingress-image")

func render(c component.Context) (state.Component, []state.Dir, error) {
	m := c.Sidecar("run")
	if m.Container.Image == "" {
		return state.Component{}, nil, ErrNoImage
	}
	if c.Builtin(m.Name) {
		m.Container.Command = []string{"sidecar", c.Kind.Name, "run"} // it serves no clients of the internal network
		m.Container.Health = state.Health{}                           // it works as long as it runs
		m.Config = configdigest.Of(nil)
	}
	dir := state.Dir{Path: c.Settings.IngressDir(c.Slug()), Spool: true}
	m.Container.Mounts = []state.Mount{MountOf(dir)}
	return m, []state.Dir{dir}, nil
}

// MountOf is where the program finds the socket of the host. It can't replace it.
func MountOf(dir state.Dir) state.Mount {
	return state.Mount{Source: dir.Path, Target: contract.IngressDir, ReadOnly: true}
}
