package edit

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// exchange swaps a file of the directory with the target, at once. It fails with errors.ErrUnsupported where the file system can't.
func (t *target) exchange(name string) error {
	dir, err := t.dir.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, name, fd, t.name, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: name, New: t.name, Err: err}
	}
	return nil
}

// aclAttribute holds a file's access control list. Security labels are the system's to give.
const aclAttribute = "system.posix_acl_access"

// keepAttributes copies the access control list and the user's attributes.
func (t *target) keepAttributes(to *os.File) error {
	from, err := t.dir.Open(t.name)
	if err != nil {
		return err
	}
	defer from.Close()
	size, err := unix.Flistxattr(int(from.Fd()), nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil
	}
	names := make([]byte, max(size, 0))
	if err == nil {
		size, err = unix.Flistxattr(int(from.Fd()), names)
	}
	if err != nil {
		return os.NewSyscallError("flistxattr", err)
	}
	for name := range strings.SplitSeq(string(names[:size]), "\x00") {
		if name == aclAttribute || strings.HasPrefix(name, "user.") {
			if err := copyAttribute(from, to, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyAttribute(from, to *os.File, name string) error {
	value := make([]byte, 64<<10) // the kernel's limit
	size, err := unix.Fgetxattr(int(from.Fd()), name, value)
	if err == nil {
		err = unix.Fsetxattr(int(to.Fd()), name, value[:size], 0)
	}
	if err != nil {
		return &os.PathError{Op: "copy attribute " + name + " of", Path: from.Name(), Err: err}
	}
	return nil
}
