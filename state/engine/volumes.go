package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// ObservedVolume is a volume on the engine.
type ObservedVolume struct {
	state.Volume
	CreatedAt time.Time
}

// Slug returns the name of the bottle that the volume belongs to.
func (v ObservedVolume) Slug() string { return v.Labels[state.LabelSlug] }

// ErrForeignVolume marks a volume that has the name of a bottle's and is not that bottle's: no container gets it, and nobody removes it.
var ErrForeignVolume = errors.New("foreign volume")

// CheckVolume returns an error that wraps [ErrForeignVolume], unless a volume is one that bottled made for the bottle that labels name.
func CheckVolume(v ObservedVolume, labels map[string]string, c Commands) error {
	remove := fmt.Sprintf(c.RemoveVolume, v.Name)
	switch owner, slug := v.Labels[state.LabelOwner], v.Slug(); {
	case owner == "":
		return fmt.Errorf("%w: volume %s exists and was not made by bottled: remove it (%s), or use another --prefix", ErrForeignVolume, v.Name, remove)
	case owner != labels[state.LabelOwner]:
		return fmt.Errorf("%w: volume %s belongs to bottled's owner %q: use another --prefix, or another name for the volume", ErrForeignVolume, v.Name, owner)
	case slug != labels[state.LabelSlug]:
		return fmt.Errorf("%w: volume %s belongs to bottle %q: use another name for the volume", ErrForeignVolume, v.Name, slug)
	case len(v.Extras) > 0:
		return fmt.Errorf("%w: volume %s has settings that bottled never makes (%s): remove it (%s)", ErrForeignVolume, v.Name, strings.Join(v.Extras, ", "), remove)
	}
	return nil
}
