package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// UserMapping is how an engine maps the users of containers to users of its host. The zero value maps each to itself.
type UserMapping struct {
	// UID and GID are the IDs of a container's root on the host, as userns-remap sets them; other users follow in their order.
	UID, GID int
	// Unknown: the engine maps users and does not report how, as a rootless one.
	Unknown bool
}

// Remaps reports whether a user of a container is another one on the host.
func (m UserMapping) Remaps() bool { return m != UserMapping{} }

// errUnknownMapping is why the sidecars of a rootless engine get no files of their own.
var ErrUnknownMapping = errors.New("a rootless engine does not report which users of this host its containers have, so cred-proxy and " +
	"supervise could not read their files: use an engine with userns-remap, or bottles without credProxy and supervise")

// errCannotGive is why an unprivileged bottled does not work with userns-remap.
var errCannotGive = errors.New("the engine maps users of containers to others of this host (userns-remap), and only root can give the " +
	"sidecars' files to them: run bottled as root")

// HostUser returns the IDs on the host of a container's user ("uid:gid"). privileged says whether bottled can give files to
// another user.
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
		return 0, 0, errCannotGive
	}
	return m.UID + uid, m.GID + gid, nil
}
