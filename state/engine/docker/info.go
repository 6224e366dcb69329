package docker

import (
	"context"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/system"

	"github.com/bot-bottle/bottled/state/engine"
)

// Info returns what the engine reports about itself, and updates the user mapping for delivered files.
func (e *Engine) Info(ctx context.Context) (engine.Info, error) {
	info, err := e.client.Info(ctx)
	if err != nil {
		return engine.Info{}, wrap(err, "get the engine's info")
	}
	users := usersOf(info)
	e.files.setUsers(users)
	return engine.Info{
		Version: info.ServerVersion, CgroupVersion: info.CgroupVersion, Runtimes: slices.Sorted(maps.Keys(info.Runtimes)),
		MemoryLimit: info.MemoryLimit, PidsLimit: info.PidsLimit, CPULimit: info.CPUCfsQuota, Users: users, VXLANPort: vxlanPort(info.Swarm),
		// Docker asks its init for its version. One of another name may be of another kind, and not tell it.
		NoInit: info.InitCommit.ID == "N/A" && path.Base(info.InitBinary) == initName,
	}, nil
}

// remappedRoot matches the end of the data directory of an engine with userns-remap: the IDs of a container's root.
var remappedRoot = regexp.MustCompile(`/(\d+)\.(\d+)$`)

// usersOf returns the engine's user mapping.
func usersOf(info system.Info) engine.UserMapping {
	names, err := system.DecodeSecurityOptions(info.SecurityOptions)
	if err != nil {
		return engine.UserMapping{Unknown: true}
	}
	var m engine.UserMapping
	for _, option := range names {
		switch option.Name {
		case "rootless":
			return engine.UserMapping{Unknown: true}
		case "userns":
			ids := remappedRoot.FindStringSubmatch(info.DockerRootDir)
			if ids == nil {
				return engine.UserMapping{Unknown: true}
			}
			uid, uidErr := strconv.Atoi(ids[1])
			gid, gidErr := strconv.Atoi(ids[2])
			m = engine.UserMapping{UID: uid, GID: gid, Unknown: uidErr != nil || gidErr != nil}
		}
	}
	return m
}

// defaultVXLANPort is Swarm's data path port, unless `docker swarm init --data-path-port` set another, which only managers report.
const defaultVXLANPort = 4789

// vxlanPort returns the UDP port of a Swarm's overlay networks; 0 for an engine that is in no Swarm.
func vxlanPort(s swarm.Info) int {
	switch {
	case s.LocalNodeState == swarm.LocalNodeStateInactive || s.LocalNodeState == "":
		return 0
	case s.Cluster != nil && s.Cluster.DataPathPort != 0:
		return int(s.Cluster.DataPathPort)
	}
	return defaultVXLANPort
}
