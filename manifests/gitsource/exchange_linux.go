package gitsource

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// exchange swaps two paths at once. A file system that can't do that (some of FUSE, NFS) has a moment with neither.
func exchange(next, place string) error {
	err := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return exchangeInSteps(next, place)
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: next, New: place, Err: err}
	}
	return nil
}

// identity is the inode's number, and when it changed last: its content, mode, owner or name.
func identity(info fs.FileInfo) (inode uint64, changed int64) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino, stat.Ctim.Nano()
	}
	return 0, 0
}
