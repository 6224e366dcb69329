// Package service is the components that an agent needs beside it, like a database: any number, whose names, images and commands the
// manifest declares. They are as confined as the agent, and are not given the way out that it has.
package service

import (
	"cmp"
	"fmt"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// kind is what all services have in common.
func kind() component.Kind {
	return component.Kind{Prefix: state.ServicePrefix, Ready: component.ReadyWhenStableAndHealthy, Workload: true, Colour: "94"}
}

// Kind is the components.
var Kind = func() component.Kind {
	k := kind()
	k.Instances = instances
	return k
}()

func instances(c component.Context) []component.Kind {
	var all []component.Kind
	for _, s := range c.Manifest.Spec.Services {
		k := kind()
		k.Component = contract.Component{Name: s.Name, Direct: true}
		k.Render = func(c component.Context) (state.Component, []state.Dir, error) {
			made, err := render(c, s)
			return made, nil, err
		}
		all = append(all, k)
	}
	return all
}

func render(c component.Context, s v1alpha1.Service) (state.Component, error) {
	made := c.Container(s.Image)
	made.Command, made.User, made.Volumes = s.Command, s.User, c.VolumeMounts(s.Volumes)
	read := c.Inputs.ServiceEnv[s.Name]
	if s.ReadsEnv() && read == nil {
		return state.Component{}, fmt.Errorf("the env of service %s: what it refers to was not read", s.Name)
	}
	component.SetEnv(&made, read, s.Env)
	made.Tmpfs, made.StopGrace = component.Tmpfs(s.Tmpfs), s.StopGrace()
	made.Additions.QuickDNS, made.Additions.Launcher = true, true
	made.Limits, made.OOMScore = component.DeclaredLimits(s.Resources), component.WorkloadOOMScore
	if agent := c.Manifest.Spec.Agent; agent != nil {
		made.Runtime = agent.Runtime // what the agent needs to be confined by, its services need as well
	}
	if h := s.Healthcheck; h != nil {
		made.Health = state.Health{
			Command: h.Command, Interval: v1alpha1.Duration(h.Interval, v1alpha1.DefaultHealthInterval), Timeout: v1alpha1.Duration(h.Timeout, v1alpha1.DefaultHealthTimeout),
			StartPeriod: v1alpha1.Duration(h.StartPeriod, v1alpha1.DefaultHealthStartPeriod), Retries: int(cmp.Or(h.Retries, v1alpha1.DefaultHealthRetries)),
		}
	}
	return state.Component{Name: c.Kind.ComponentName(), Container: made}, nil
}
