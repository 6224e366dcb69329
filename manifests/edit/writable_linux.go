package edit

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writable fails where the file can't be replaced. It changes nothing.
func (t *target) writable() error {
	dir, err := t.dir.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	for _, name := range []string{".", t.name} {
		var stat unix.Statx_t
		if err := unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_UID, &stat); err != nil {
			return os.NewSyscallError("statx", err)
		}
		switch {
		case stat.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
			path := filepath.Join(filepath.Dir(t.file.Real), name)
			return fmt.Errorf("%s: %w: %s is immutable or append-only: chattr -ia %s", t.path, ErrNotReplaceable, path, path)
		case name == ".":
		case stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
			return unix.EBUSY
		case int(stat.Uid) != os.Geteuid() && !mayChown():
			return t.ofSomebodyElse()
		}
	}
	return unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS) // EROFS of a read-only mount
}

// mayChown reports whether this process may give files to other users.
func mayChown() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) != nil || data[0].Effective&(1<<unix.CAP_CHOWN) != 0
}
