package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// UserMapping maps the users of containers to users of the engine's host. The zero value maps each to itself.
type UserMapping struct {
	// UID and GID are the host's IDs of a container's root, as userns-remap sets them; other users are at the same offset.
	UID, GID int
	// Unknown is true for an engine that maps users and does not report how, such as a rootless one.
	Unknown bool
}

// Remaps reports whether a container's user has another ID on the host.
func (m UserMapping) Remaps() bool { return m != UserMapping{} }

// ContainerIDs returns the IDs of a user and group of the host in containers, negative for those that these don't have, and whether that
// is known.
func (m UserMapping) ContainerIDs(uid, gid int) (containerUID, containerGID int, known bool) {
	if m.Unknown {
		return 0, 0, false
	}
	return max(uid-m.UID, -1), max(gid-m.GID, -1), true
}

// ErrUnknownMapping is returned where sidecars need files of their own and the user mapping is unknown.
var ErrUnknownMapping = errors.New("a rootless engine does not report which users of this host its containers have, so cred-proxy and " +
	"supervise could not read their files: use an engine with userns-remap, or bottles without credProxy and supervise")

// errChownNeedsRoot is returned with userns-remap when bottled is not root.
var errChownNeedsRoot = errors.New("the engine maps users of containers to others of this host (userns-remap), and only root can give the " +
	"sidecars' files to them: run bottled as root")

// HostUser returns the host's IDs of a container's user ("uid:gid"). privileged is whether bottled may change the owner of files.
func (m UserMapping) HostUser(user string, privileged bool) (uid, gid int, err error) {
	u, g, _ := strings.Cut(user, ":")
	uid, uidErr := strconv.Atoi(u)
	gid, gidErr := strconv.Atoi(g)
	switch {
	case uidErr != nil || gidErr != nil:
		return 0, 0, fmt.Errorf("user %q: want UID:GID", user)
	case m.Unknown:
		return 0, 0, ErrUnknownMapping
	case m.Remaps() && !privileged:
		return 0, 0, errChownNeedsRoot
	}
	return m.UID + uid, m.GID + gid, nil
}
