package docker

import (
	"testing"

	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/system"

	"github.com/bot-bottle/bottled/state/engine"
)

func TestUsersOfAnEngine(t *testing.T) {
	for _, c := range []struct {
		name, root string
		options    []string
		want       engine.UserMapping
	}{
		{"neither", "/var/lib/docker", []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"}, engine.UserMapping{}},
		{"a directory that only looks like it", "/var/lib/docker/1.1", []string{"name=seccomp,profile=default"}, engine.UserMapping{}},
		{
			"userns-remap", "/var/lib/docker/100000.200000",
			[]string{"name=seccomp,profile=default", "name=userns"},
			engine.UserMapping{UID: 100000, GID: 200000},
		},
		{"userns-remap of an unknown user", "/var/lib/docker", []string{"name=userns"}, engine.UserMapping{Unknown: true}},
		{"rootless", "/home/me/.local/share/docker", []string{"name=seccomp,profile=builtin", "name=rootless"}, engine.UserMapping{Unknown: true}},
	} {
		if got := usersOf(system.Info{DockerRootDir: c.root, SecurityOptions: c.options}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestVXLANPort(t *testing.T) {
	manager := &swarm.ClusterInfo{DataPathPort: 7789}
	for want, info := range map[int]swarm.Info{
		0:    {LocalNodeState: swarm.LocalNodeStateInactive},
		4789: {LocalNodeState: swarm.LocalNodeStateActive},
		7789: {LocalNodeState: swarm.LocalNodeStateActive, Cluster: manager},
	} {
		if got := vxlanPort(info); got != want {
			t.Errorf("%+v: %d, want %d", info, got, want)
		}
	}
}
