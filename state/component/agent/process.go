package agent

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// setProcess sets what the manifest says about the agent's process and its surroundings.
func setProcess(c component.Context, made *state.Container) {
	a := c.Manifest.Spec.Agent
	made.User = a.User
	if a.User == v1alpha1.UserAuto {
		made.User = c.Inputs.User
	}
	made.WorkDir, made.Hostname, made.TTY, made.Stdin = a.Workdir, a.Hostname, a.TTY, a.Stdin
	made.ShmSize, made.StopGrace = a.ShmBytes(), a.StopGrace()
	setExtraHosts(a.ExtraHosts, made)
	made.Tmpfs = component.Tmpfs(a.Tmpfs)
	for _, d := range a.Devices {
		made.Devices = append(made.Devices, state.Device{Source: c.Inputs.Devices[d.Source], Target: d.Target, Permissions: d.Permissions})
	}
	if a.GPUs != nil {
		made.GPUs = state.GPUs{Count: a.GPUs.Count, IDs: a.GPUs.IDs}
	}
}

// setExtraHosts sets names of the agent's own: an address in its hosts file, or a link to another container, whose address the engine
// knows.
func setExtraHosts(hosts map[string]string, made *state.Container) {
	internal := &made.Networks[0]
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if _, err := netip.ParseAddr(hosts[name]); err == nil {
			made.Hosts = append(made.Hosts, name+":"+hosts[name])
		} else {
			internal.Links = append(internal.Links, hosts[name]+":"+name)
		}
	}
}
