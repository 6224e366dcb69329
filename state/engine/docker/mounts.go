package docker

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/docker/docker/api/types/mount"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// mountIDs identifies what is mounted at the target of each bind mount of a running container, as its first process sees it. It returns
// nil where that is unknown: the process has ended, belongs to another user, or is in another PID namespace, as under an engine that
// runs in a container.
func (e *Engine) mountIDs(ctx context.Context, id string) (map[string]safepath.ID, error) {
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return nil, wrap(err, "inspect container")
	}
	if c.State == nil || !c.State.Running || c.State.Pid <= 0 {
		return nil, nil
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", c.State.Pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil //nolint:nilerr // unknown
	}
	defer unix.Close(root)
	// The PID may be reused by now, or of another namespace: the cgroup names the container.
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.State.Pid))
	if err != nil || !strings.Contains(string(groups), c.ID) {
		return nil, nil //nolint:nilerr // unknown
	}
	ids := map[string]safepath.ID{}
	for _, m := range c.Mounts {
		if m.Type != mount.TypeBind {
			continue
		}
		if found, err := fileIDInRoot(root, m.Destination); err == nil {
			ids[m.Destination] = found
		}
	}
	return ids, nil
}

// fileIDInRoot identifies a file below a container's root; symbolic links are resolved inside it.
func fileIDInRoot(root int, path string) (safepath.ID, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, path, &how)
	if err != nil {
		return safepath.ID{}, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return safepath.ID{}, err
	}
	return safepath.ID{Dev: stat.Dev, Ino: stat.Ino}, nil
}
