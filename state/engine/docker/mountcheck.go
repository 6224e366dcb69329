package docker

import (
	"context"
	"fmt"
	"slices"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

// checkMounts verifies that the sources of an agent's mounts were not replaced since they were checked. It runs right before the engine
// resolves the paths again.
func (f *files) checkMounts(mounts []state.Mount) error {
	for _, m := range mounts {
		if f.isDelivered(m) {
			continue
		}
		o, err := safepath.Open(m.Source)
		if err != nil {
			return fmt.Errorf("%w at %s: %w", state.ErrMount, m.Target, err)
		}
		same := o.ID == m.ID && o.Real == m.Source
		if err := o.Close(); err != nil {
			return fmt.Errorf("%w at %s: %w", state.ErrMount, m.Target, err)
		}
		if !same {
			return fmt.Errorf("%w at %s: %s was replaced since it was checked", state.ErrMount, m.Target, m.Source)
		}
	}
	return nil
}

// mountInspector is the part of Engine that checkMounted needs.
type mountInspector interface {
	mountIDs(ctx context.Context, id string) (map[string]safepath.ID, error)
}

// checkMounted verifies that a container was started on the sources that were checked: since the engine resolves the paths itself,
// somebody who can write on the way may replace one after checkMounts. Where the engine's processes are not visible it checks nothing.
func checkMounted(ctx context.Context, e mountInspector, id string, mounts []state.Mount) error {
	checked := slices.DeleteFunc(slices.Clone(mounts), func(m state.Mount) bool { return m.ID == (safepath.ID{}) })
	if len(checked) == 0 {
		return nil
	}
	mounted, err := e.mountIDs(ctx, id)
	if err != nil || mounted == nil {
		return err
	}
	for _, m := range checked {
		if mounted[m.Target] != m.ID {
			return fmt.Errorf("%w at %s: %s was replaced while the container was started", state.ErrMount, m.Target, m.Source)
		}
	}
	return nil
}
