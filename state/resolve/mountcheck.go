package resolve

import (
	"context"
	"fmt"
	"slices"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

// CheckMounts makes sure that the mounts' sources are still what was judged, right before an engine resolves the paths again.
func CheckMounts(s state.Settings, mounts []state.Mount) error {
	for _, m := range mounts {
		if state.Within(m.Source, s.StateDir) || state.Within(m.Source, s.RunDir) {
			continue // bottled's own: no agent's mount is there
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

// mountTeller says what is mounted in a running container.
type mountInspector interface {
	MountIDs(ctx context.Context, id string) (map[string]safepath.ID, error)
}

// CheckMounted makes sure that a container was started on what was judged. The engine resolves the paths of mounts by itself, so
// somebody who may write on the way can be faster than CheckMounts. Where the engine's processes can't be seen, it says nothing.
func CheckMounted(ctx context.Context, engine mountInspector, id string, mounts []state.Mount) error {
	judged := slices.DeleteFunc(slices.Clone(mounts), func(m state.Mount) bool { return m.ID == (safepath.ID{}) })
	if len(judged) == 0 {
		return nil
	}
	mounted, err := engine.MountIDs(ctx, id)
	if err != nil || mounted == nil {
		return err
	}
	for _, m := range judged {
		if mounted[m.Target] != m.ID {
			return fmt.Errorf("%w at %s: %s was replaced while the container was started", state.ErrMount, m.Target, m.Source)
		}
	}
	return nil
}
