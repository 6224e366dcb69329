package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/docker/docker/api/types/mount"

	"github.com/bot-bottle/bottled/state/engine"
)

// ownFiles are what an engine mounts into every container from the container's own directory.
var ownFiles = regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) /etc/`)

// SharedPaths are the directories that this process has in common with the engine's host, when it runs in a container of
// this engine: only what is below them can be bind-mounted under the path that it has here. nil when it runs on the host.
func (e *Engine) SharedPaths(ctx context.Context) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("see whether this is a container: %w", err)
	}
	id := ownFiles.FindSubmatch(mounts)
	if id == nil {
		return nil, nil
	}
	self, err := e.client.ContainerInspect(ctx, string(id[1]))
	if err = wrap(err, "inspect bottled's own container"); err != nil {
		if errors.Is(err, engine.ErrNotFound) {
			return nil, nil // a container of another engine, in which this one runs
		}
		return nil, err
	}
	shared := []string{}
	for _, m := range self.Mounts {
		if m.Type == mount.TypeBind && m.Source == m.Destination {
			shared = append(shared, m.Destination)
		}
	}
	return shared, nil
}
