package owndir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// NoFollow are the open flags for files in an own directory: a symbolic link is an error, and a named pipe does not block.
const NoFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

const (
	maxLinks = 40        // the kernel's limit
	maxFile  = 256 << 20 // bytes, more than any file of bottled has
)

// Check fails unless only root and this user can change a directory and everything on the way to it: directories and links belong to
// one of them, and nobody else may write. A sticky directory on the way, such as /tmp, may be writable, since others can't replace
// entries in it. A missing path is no error.
func Check(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	dir, rest := "/", strings.Split(abs, "/")
	for links := 0; ; {
		for len(rest) > 0 && (rest[0] == "" || rest[0] == ".") {
			rest = rest[1:]
		}
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkEntry(dir, info, len(rest) == 0); err != nil {
			return err
		}
		if info.Mode().Type() == fs.ModeSymlink {
			if links++; links > maxLinks {
				return fmt.Errorf("%s: %w", path, syscall.ELOOP)
			}
			target, err := os.Readlink(dir)
			if err != nil {
				return err
			}
			if dir = filepath.Dir(dir); filepath.IsAbs(target) {
				dir = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		if len(rest) == 0 {
			return nil
		}
		// dir has no links left, so .. is its parent.
		dir, rest = filepath.Join(dir, rest[0]), rest[1:]
	}
}

// checkEntry checks the owner and mode of a directory or link.
func checkEntry(path string, info fs.FileInfo, last bool) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: unknown owner", path)
	}
	if me := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != me {
		return fmt.Errorf("%s belongs to user %d, who could replace what is in it; give it to the user that bottled runs as: chown %d %s",
			path, stat.Uid, me, path)
	}
	others := info.Mode().Perm() & 0o022
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return nil // its mode means nothing
	case !info.IsDir():
		return fmt.Errorf("%s is no directory; remove it", path)
	case others == 0, !last && info.Mode()&fs.ModeSticky != 0:
		return nil
	}
	return fmt.Errorf("%s can be written by others (mode %04o), who could replace what is in it: chmod go-w %s",
		path, info.Mode().Perm(), path)
}

// Make creates a directory with its missing parents, and checks the existing ones.
func Make(path string, mode fs.FileMode) error {
	if err := Check(path); err != nil {
		return err
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return Check(path)
}

// Open opens a regular file in an own directory.
func Open(path string, flag int, mode fs.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flag|NoFollow, mode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link, which bottled does not make: remove it", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: remove it", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ReadFile reads a regular file in an own directory.
func ReadFile(path string) ([]byte, error) {
	file, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, err
}

// Save is Make of the directory, with mode 0700, WriteFile with mode 0600, and SyncDir: after nil, the file survives a crash.
func Save(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := Make(dir, 0o700); err != nil {
		return err
	}
	if err := WriteFile(path, data, 0o600, nil); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir has the entries of a directory survive a crash.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// WriteFile replaces a file atomically: a reader sees the old content or the new one. finish, if not nil, is called with the complete new
// file before it is renamed, for example to change its owner.
func WriteFile(path string, data []byte, mode fs.FileMode, finish func(*os.File) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-"+strings.TrimPrefix(filepath.Base(path), ".")+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil && finish != nil {
		err = finish(tmp)
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
