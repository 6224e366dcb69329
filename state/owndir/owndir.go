// Package owndir is how bottled uses directories and files of its own: locks, records, sockets, tokens. Nobody but root and the user
// that it runs as may be able to change or replace them; otherwise others would lead it to files of their choice.
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

// NoFollow are the flags for opening what lies in a directory of one's own: a link at the path is an error, a named pipe no reason to wait.
const NoFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

const (
	maxLinks = 40        // as many as the kernel follows
	maxFile  = 256 << 20 // bytes; more than any file of bottled's has
)

// Check fails unless everything on the way to a directory, and the directory itself, can be changed by root and this user only:
// directories and links belong to one of them, and are writable by nobody else. Of the directories on the way, sticky ones such as
// /tmp may be writable, since nobody else can replace what is in them. What is missing is nobody's, and no error.
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
		if err := checkOne(dir, info, len(rest) == 0); err != nil {
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
		// A link was resolved before: dir has none, so that .. is the directory around it.
		dir, rest = filepath.Join(dir, rest[0]), rest[1:]
	}
}

// checkOne judges a directory or link.
func checkOne(path string, info fs.FileInfo, last bool) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: its owner can't be known", path)
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

// Make makes a directory, and those on the way that are missing, and checks what is there.
func Make(path string, mode fs.FileMode) error {
	if err := Check(path); err != nil {
		return err
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return Check(path)
}

// Open opens a regular file in a directory of one's own.
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

// ReadFile reads a regular file in a directory of one's own.
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

// WriteFile replaces a file atomically: a reader sees the old content or the new one. finish, if not nil, gets the complete new file
// before it takes the old one's place.
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
