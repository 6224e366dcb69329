package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// errUnknownUsers is why auto is no user on an engine that does not report its mapping.
var errUnknownUsers = errors.New("auto: this engine does not report which users of this host its containers have: name the user")

// ownerOf returns the owner of a mount's source by the IDs that containers see.
func (r Reader) ownerOf(info fs.FileInfo) state.Owner {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return state.Owner{}
	}
	o := state.Owner{Known: true, UID: int(stat.Uid), GID: int(stat.Gid), Mode: uint32(info.Mode().Perm())}
	if r.ContainerIDs != nil {
		o.UID, o.GID, o.Known = r.ContainerIDs(o.UID, o.GID)
	}
	return o
}

// user returns the agent's user where the manifest says auto: the owner of the first writable mount's source; "" for the image's, also
// where that is root. Mounts that can't be resolved have an error of their own.
func (r Reader) user(m v1alpha1.Bottle, sources map[string]MountSource) (string, error) {
	if m.Spec.Agent == nil || m.Spec.Agent.User != v1alpha1.UserAuto {
		return "", nil
	}
	for _, mount := range m.Spec.Agent.Mounts {
		source, resolved := sources[mount.Source]
		switch owner := source.Owner; {
		case mount.ReadOnly:
			continue
		case !resolved || owner.Known && owner.UID == 0:
			return "", nil
		case !owner.Known:
			return "", errUnknownUsers
		case owner.UID < 0 || owner.GID < 0:
			return "", fmt.Errorf("auto: %s belongs to a user or group that containers don't have (userns-remap): change its owner, or name the user", mount.Source)
		default:
			return fmt.Sprintf("%d:%d", owner.UID, owner.GID), nil
		}
	}
	return "", nil
}
