package docker

import (
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/seccomp"
)

// toCreate converts a container to Docker's types; fromInspect is its inverse for everything that bottled sets. Settings that have a
// default in the engine's daemon.json, or that weaken the isolation, are always explicit (docs/engine-defaults.md).
// image is the environment of the container's image.
func toCreate(c state.Container, image map[string]string) (*container.Config, *container.HostConfig) {
	config := &container.Config{
		Image: c.Image, Entrypoint: c.Entrypoint, Cmd: c.Command, User: c.User,
	}
	var env map[string]string
	env, config.Labels = c.NewEnv(image)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		config.Env = append(config.Env, k+"="+env[k])
	}
	toProcess(c, config)
	if h := c.Health; len(h.Command) > 0 {
		config.Healthcheck = &container.HealthConfig{Test: append([]string{"CMD"}, h.Command...), Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
	}
	host := &container.HostConfig{
		NetworkMode: container.NetworkMode(c.Networks[0].Network), DNS: c.DNS, Runtime: c.Runtime, Resources: toResources(c.Limits),
		IpcMode: container.IPCModePrivate, CgroupnsMode: container.CgroupnsModePrivate, Init: &c.Additions.Init,
		MaskedPaths: maskedPaths(), ReadonlyPaths: readonlyPaths,
		OomScoreAdj: c.OOMScore, ReadonlyRootfs: c.ReadOnlyRoot, CapAdd: c.CapAdd, CapDrop: c.CapDrop, SecurityOpt: seccomp.Expand(c.SecurityOpt),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(c.Restart)},
		LogConfig:     container.LogConfig{Type: c.Log.Driver, Config: c.Log.Options},
	}
	for _, m := range c.Mounts {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	for _, v := range c.Volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: v.Volume, Target: v.Target})
	}
	toHost(c, host)
	host.Ulimits = ulimits()
	// Only with a DNS server of its own: otherwise Docker before 26 would look for the host's loopback resolvers inside the container.
	// pipelock, which uses those, queries absolute names only.
	if len(c.DNS) > 0 {
		host.DNSSearch, host.DNSOptions = noSearch, noOptions
		if c.Additions.QuickDNS {
			host.DNSOptions = quickOptions
		}
	}
	return config, host
}

func toResources(l state.Limits) container.Resources {
	// MemorySwap is the sum of memory and swap: no swap.
	r := container.Resources{Memory: l.Memory, MemorySwap: l.Memory, NanoCPUs: l.NanoCPUs}
	if l.Pids > 0 {
		r.PidsLimit = &l.Pids
	}
	return r
}

func fromSummary(c container.Summary) engine.Summary {
	s := engine.Summary{ID: c.ID, Image: c.Image, ImageID: c.ImageID, Labels: c.Labels, State: c.State, Health: healthOf(c.Status)}
	if len(c.Names) > 0 {
		s.Name = strings.TrimPrefix(c.Names[0], "/")
	}
	if c.NetworkSettings != nil {
		for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
			n := c.NetworkSettings.Networks[name]
			s.Endpoints = append(s.Endpoints, engine.Endpoint{Network: name, NetworkID: n.NetworkID, ID: n.EndpointID})
		}
	}
	return s
}

// healthOf parses the health from a listing's status ("Up 2 hours (healthy)"), since API 1.41 has no field for it.
func healthOf(status string) string {
	switch {
	case strings.HasSuffix(status, "(healthy)"):
		return engine.HealthHealthy
	case strings.HasSuffix(status, "(unhealthy)"):
		return engine.HealthUnhealthy
	case strings.HasSuffix(status, "(health: starting)"):
		return engine.HealthStarting
	}
	return ""
}

// checkedHealth returns the outcome of the health check. Docker reports a paused container as unhealthy until the first check after
// it is resumed; no check has failed then, so that counts as starting.
func checkedHealth(h *container.Health) string {
	switch {
	case h == nil || h.Status == container.NoHealthcheck:
		return ""
	case h.Status == container.Unhealthy && h.FailingStreak == 0:
		return engine.HealthStarting
	}
	return h.Status
}

// fromInspect converts what the engine says of a container. launcher is the path of the launcher on this host.
func fromInspect(c container.InspectResponse, defaults engine.ImageDefaults, launcher string) engine.Detail {
	host := c.HostConfig
	got := state.Container{
		Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image,
		Entrypoint: c.Config.Entrypoint, Command: c.Config.Cmd, Env: envMap(c.Config.Env), User: c.Config.User, Labels: c.Config.Labels,
		DNS: host.DNS, Runtime: host.Runtime, ReadOnlyRoot: host.ReadonlyRootfs,
		CapAdd: host.CapAdd, CapDrop: host.CapDrop, SecurityOpt: seccomp.Abbreviate(host.SecurityOpt),
		OOMScore:  host.OomScoreAdj,
		Limits:    state.Limits{Memory: host.Memory, Swap: swapOf(host.Resources), NanoCPUs: host.NanoCPUs},
		Restart:   string(host.RestartPolicy.Name),
		Additions: state.Additions{Init: host.Init != nil && *host.Init, QuickDNS: slices.Equal(host.DNSOptions, quickOptions)},
		Log:       state.Log{Driver: host.LogConfig.Type, Options: host.LogConfig.Config},
	}
	if got.Restart == "" {
		got.Restart = string(container.RestartPolicyDisabled)
	}
	if host.PidsLimit != nil && *host.PidsLimit > 0 {
		got.Limits.Pids = *host.PidsLimit
	}
	if h := c.Config.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] == "CMD" {
		got.Health = state.Health{Command: h.Test[1:], Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries}
	}
	named := volumeTargets(host.Mounts) // the others are of the image
	for _, m := range c.Mounts {
		switch {
		case m.Type == mount.TypeBind && m.Source == launcher && m.Destination == contract.LauncherPath && !m.RW:
			got.Additions.Launcher = true
		case m.Type == mount.TypeBind:
			got.Mounts = append(got.Mounts, state.Mount{Source: m.Source, Target: m.Destination, ReadOnly: !m.RW})
		case m.Type == mount.TypeVolume && slices.Contains(named, m.Destination):
			got.Volumes = append(got.Volumes, state.VolumeMount{Volume: m.Name, Target: m.Destination})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		n := c.NetworkSettings.Networks[name]
		got.Networks = append(got.Networks, state.Attachment{Network: name, Aliases: aliases(n.Aliases, c.ID), Links: n.Links})
	}
	fromProcess(c, &got)
	got.Extras = extras(c, got)
	d := engine.Detail{Container: got, Defaults: defaults}
	if c.State != nil {
		d.Checked = checkedHealth(c.State.Health)
		d.ExitCode, d.OOMKilled, d.EndedAt = c.State.ExitCode, c.State.OOMKilled, parseTime(c.State.FinishedAt)
		d.StartedAt = parseTime(c.State.StartedAt)
	}
	return d
}

// aliases returns the aliases without the short container ID, which Docker before 25 adds.
func aliases(list []string, id string) []string {
	var own []string
	for _, a := range list {
		if !strings.HasPrefix(id, a) {
			own = append(own, a)
		}
	}
	return own
}
