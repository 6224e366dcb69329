package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bot-bottle/bottled/state"
)

// shmSize is Docker's own default for /dev/shm, in bytes.
const shmSize = 64 << 20

// tmpfsFormat are the options of a tmpfs. exec is Docker's default for other file systems: builds run programs in /tmp, and what an agent
// may run it can write elsewhere.
const tmpfsFormat = "rw,exec,nosuid,nodev,size=%d,mode=%o"

// toProcess converts what a container declares about its process.
func toProcess(c state.Container, config *container.Config) {
	config.WorkingDir, config.Hostname, config.Tty, config.OpenStdin = c.WorkDir, c.Hostname, c.TTY, c.Stdin
	if c.StopGrace > 0 {
		seconds := int(c.StopGrace / time.Second)
		config.StopTimeout = &seconds
	}
}

// toHost converts what a container declares about its surroundings.
func toHost(c state.Container, host *container.HostConfig) {
	host.ExtraHosts, host.ShmSize = c.Hosts, shmSize
	if c.ShmSize > 0 {
		host.ShmSize = c.ShmSize
	}
	for _, t := range c.Tmpfs {
		if host.Tmpfs == nil {
			host.Tmpfs = map[string]string{}
		}
		host.Tmpfs[t.Target] = fmt.Sprintf(tmpfsFormat, t.Size, t.Mode)
	}
	for _, d := range c.Devices {
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions})
	}
	if g := c.GPUs; g.Count != 0 || len(g.IDs) > 0 {
		host.DeviceRequests = []container.DeviceRequest{{Count: int(g.Count), DeviceIDs: g.IDs, Capabilities: [][]string{{"gpu"}}}}
	}
}

// fromProcess is the inverse of toProcess and toHost. What bottled never makes is left out, and so becomes an extra.
func fromProcess(c container.InspectResponse, got *state.Container) {
	host := c.HostConfig
	got.WorkDir, got.Hostname, got.TTY, got.Stdin = c.Config.WorkingDir, c.Config.Hostname, c.Config.Tty, c.Config.OpenStdin
	if seconds := c.Config.StopTimeout; seconds != nil {
		got.StopGrace = time.Duration(*seconds) * time.Second
	}
	got.Hosts = host.ExtraHosts
	if host.ShmSize != shmSize {
		got.ShmSize = host.ShmSize
	}
	for _, target := range slices.Sorted(maps.Keys(host.Tmpfs)) {
		t := state.Tmpfs{Target: target}
		if n, err := fmt.Sscanf(host.Tmpfs[target], tmpfsFormat, &t.Size, &t.Mode); err == nil && n == 2 {
			got.Tmpfs = append(got.Tmpfs, t)
		}
	}
	for _, d := range host.Devices {
		got.Devices = append(got.Devices, state.Device{Source: d.PathOnHost, Target: d.PathInContainer, Permissions: d.CgroupPermissions})
	}
	slices.SortFunc(got.Devices, func(a, b state.Device) int { return strings.Compare(a.Target, b.Target) })
	if len(host.DeviceRequests) == 1 {
		got.GPUs = state.GPUs{Count: int64(host.DeviceRequests[0].Count), IDs: host.DeviceRequests[0].DeviceIDs}
	}
}
