package state

import (
	"fmt"
	"strconv"
	"strings"
)

// Owner is who owns the source of a mount, by the IDs that a container sees. The zero value is not known.
type Owner struct {
	Known bool
	// UID and GID are negative for an owner that containers don't have (userns-remap).
	UID, GID int
	Mode     uint32 // permission bits
}

// unknownID is the ID of a group that is not known.
const unknownID = -2

// IsWritable reports whether a user without capabilities may write. Where it depends on groups that are not known, it may.
func (o Owner) IsWritable(uid, gid int) bool {
	switch {
	case !o.Known, o.Mode&0o002 != 0:
		return true
	case uid == o.UID:
		return o.Mode&0o200 != 0
	case o.Mode&0o020 == 0:
		return false
	}
	// An image may put a user into more groups. Its root is in none of a person's.
	return uid != 0 || gid == o.GID || gid == unknownID || o.GID == 0
}

// Warn returns the warning about a writable mount that the container's user can't write to; "" if there is nothing to warn of. user is
// as [ParseUser] takes it.
func (o Owner) Warn(user, source, target string) string {
	uid, gid, ok := ParseUser(user)
	if !ok || o.IsWritable(uid, gid) {
		return ""
	}
	who, owner := fmt.Sprintf("user %d", uid), fmt.Sprintf("belongs to %d:%d", o.UID, o.GID)
	if uid == 0 {
		who = "root, which has no capabilities in a bottle,"
	}
	if o.UID < 0 || o.GID < 0 {
		owner = "belongs to a user that containers don't have (userns-remap)"
	}
	return fmt.Sprintf("%s can't write to %s: %s %s, mode %04o. Set spec.agent.user to auto, or to a user who may write there, or change the owner or mode of %s",
		who, target, source, owner, o.Mode, source)
}

// ParseUser returns the IDs of a container's user, "UID", "UID:GID", "root" or "" for root; false where only the image knows them.
func ParseUser(user string) (uid, gid int, ok bool) {
	name, group, hasGroup := strings.Cut(user, ":")
	uid, ok = parseID(name)
	if !ok {
		return 0, 0, false
	}
	if gid = unknownID; uid == 0 {
		gid = 0
	}
	if !hasGroup {
		return uid, gid, true
	}
	if gid, ok = parseID(group); !ok {
		gid = unknownID
	}
	return uid, gid, true
}

func parseID(text string) (int, bool) {
	if text == "" || text == "root" {
		return 0, true
	}
	id, err := strconv.Atoi(text)
	return id, err == nil && id >= 0
}
