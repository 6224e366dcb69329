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

// engineFileMounts matches the files that Docker mounts into every container from its own directory, in mountinfo.
var engineFileMounts = regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) /etc/`)

// SharedPaths returns the directories that have the same path in this process's container and on the engine's host; nil when this
// process does not run in a container of this engine. Only paths below them can be bind-mounted under the same name.
func (e *Engine) SharedPaths(ctx context.Context) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("detect whether bottled runs in a container: %w", err)
	}
	id := engineFileMounts.FindSubmatch(mounts)
	if id == nil {
		return nil, nil
	}
	self, err := e.client.ContainerInspect(ctx, string(id[1]))
	if err = wrap(err, "inspect bottled's own container"); err != nil {
		if errors.Is(err, engine.ErrNotFound) {
			return nil, nil // another engine's container, in which this engine runs, too
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
