package engine

import (
	"errors"
	"testing"
)

func TestHostUser(t *testing.T) {
	remapped := UserMapping{UID: 100000, GID: 200000}
	for _, c := range []struct {
		name       string
		mapping    UserMapping
		user       string
		privileged bool
		uid, gid   int
		err        error
	}{
		{"no mapping", UserMapping{}, "65532:65532", true, 65532, 65532, nil},
		{"no mapping, an unprivileged bottled", UserMapping{}, "1000:1001", false, 1000, 1001, nil},
		{"userns-remap", remapped, "65532:65532", true, 165532, 265532, nil},
		{"userns-remap, an unprivileged bottled", remapped, "1000:1001", false, 0, 0, errChownNeedsRoot},
		{"rootless", UserMapping{Unknown: true}, "1000:1001", false, 0, 0, ErrUnknownMapping},
		{"root on a rootless engine", UserMapping{Unknown: true}, "65532:65532", true, 0, 0, ErrUnknownMapping},
	} {
		uid, gid, err := c.mapping.HostUser(c.user, c.privileged)
		if uid != c.uid || gid != c.gid || !errors.Is(err, c.err) {
			t.Errorf("%s: %d:%d, %v; want %d:%d, %v", c.name, uid, gid, err, c.uid, c.gid, c.err)
		}
	}
	if _, _, err := remapped.HostUser("dev", true); err == nil {
		t.Error("a user by name is taken")
	}
}
