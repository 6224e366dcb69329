// Package agent is the component that a bottle is made for: the container of the coding agent, whose image, command and mounts its
// manifest declares.
package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// Kind is the component.
var Kind = component.Kind{
	Component: contract.Agent,
	Needed:    func(c component.Context) bool { return c.AgentImage != "" },
	Render:    render,
	Ready:     component.ReadyWhenStable,
	Workload:  true,
	Image:     &component.ImageSetting{Legacy: "CLAUDE_BOTTLE_AGENT_IMAGE", Usage: "`image` of the agents of claude-bottle's files, which name none"},
	Colour:    "32",
}

func render(c component.Context) (state.Component, []state.Dir, error) {
	a := c.Manifest.Spec.Agent
	made := c.Container(c.AgentImage)
	made.Command, made.Runtime = a.Command, a.Runtime
	setProcess(c, &made)
	made.Limits = component.DeclaredLimits(a.Resources)
	made.OOMScore = component.WorkloadOOMScore
	made.Additions.Init, made.Additions.QuickDNS, made.Additions.Launcher = true, true, true
	if err := setEnv(c, &made); err != nil {
		return state.Component{}, nil, err
	}
	for _, m := range a.Mounts {
		source, judged := c.Inputs.Mounts[m.Source]
		if !judged {
			return state.Component{}, nil, fmt.Errorf("spec.agent.mounts: %s was not judged", m.Source)
		}
		made.Mounts = append(made.Mounts, state.Mount{Source: source.Path, Target: m.Target, ReadOnly: m.ReadOnly, ID: source.ID, Owner: source.Owner})
	}
	made.Volumes = c.VolumeMounts(a.Volumes)
	if held := heldDirectories(c); held != "" {
		made.Labels[state.LabelMounts] = held
	}
	dirs, err := setUp(c, &made)
	return state.Component{Name: c.Kind.ComponentName(), Container: made, Build: c.Inputs.Build}, dirs, err
}

// setEnv sets the declared environment: what was read for it, and the texts of the manifest.
func setEnv(c component.Context, made *state.Container) error {
	a := c.Manifest.Spec.Agent
	if a.ReadsEnv() && c.Inputs.Env == nil {
		return errors.New("spec.agent.env: what it refers to was not read")
	}
	component.SetEnv(made, c.Inputs.Env, a.Env)
	return nil
}

// setUp adds what the bottle's other components give to the agent, and returns the directories that it mounts of them. The last
// component comes first: the order of the files is part of the hash label of containers that run.
func setUp(c component.Context, made *state.Container) ([]state.Dir, error) {
	var dirs []state.Dir
	declared := slices.Collect(maps.Keys(made.Env))
	for _, k := range slices.Backward(c.Kinds) {
		if k.ForAgent == nil {
			continue
		}
		setup, err := k.ForAgent(c.For(k))
		if err != nil {
			return nil, err
		}
		maps.Copy(made.Env, setup.Env)
		made.AddEnv(without(setup.AddedEnv, declared))
		for _, f := range setup.AddedHome {
			f.Optional = true // the image's file may be one that no earlier version touched
			made.Additions.Home = append(made.Additions.Home, f)
		}
		made.Home = append(made.Home, setup.Home...)
		made.Mounts = append(made.Mounts, setup.Mounts...)
		dirs = append(dirs, setup.Dirs...)
	}
	return dirs, nil
}

// without returns the variables that the manifest does not set itself, in any case: npm takes both for one.
func without(env map[string]string, declared []string) map[string]string {
	env = maps.Clone(env)
	maps.DeleteFunc(env, func(name, _ string) bool {
		return slices.ContainsFunc(declared, func(other string) bool { return strings.EqualFold(name, other) })
	})
	return env
}

// heldDirectories is a digest of which directories are mounted, "" for none: a container holds on to the directory that it was
// started with, also when another one takes its place. Files are left out: most programs replace the whole file to change it.
// So is the device, whose number may be another one after a reboot.
func heldDirectories(c component.Context) string {
	var held []string
	for _, m := range c.Manifest.Spec.Agent.Mounts {
		if source := c.Inputs.Mounts[m.Source]; source.Directory {
			held = append(held, fmt.Sprintf("%s=%d", m.Target, source.ID.Ino))
		}
	}
	if held == nil {
		return ""
	}
	slices.Sort(held)
	return state.DigestJSON(held)
}
