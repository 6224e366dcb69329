package main

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// swap tries for some seconds, as fast as it can, to put a symbolic link to target into a path's place: by renaming and removing the
// path, and by renaming the link over it. Granted is a way that succeeded once.
func swap(args []string) ([]attempt, error) {
	if len(args) != 3 {
		return nil, errors.New("usage: swap PATH TARGET SECONDS")
	}
	path, target := args[0], args[1]
	seconds, err := strconv.Atoi(args[2])
	if err != nil {
		return nil, err
	}
	ways := []struct {
		name string
		try  func() error
	}{
		{"rename it away", func() error {
			if err := unix.Rename(path, path+".old"); err != nil {
				return err
			}
			err := unix.Symlink(target, path)
			time.Sleep(time.Millisecond) // in which somebody may look
			return errors.Join(err, unix.Unlink(path), unix.Rename(path+".old", path))
		}},
		{"remove it", func() error { return unix.Rmdir(path) }},
		{"rename a link over it", func() error {
			if err := unix.Symlink(target, path+".new"); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
			return unix.Rename(path+".new", path)
		}},
		{"exchange it with a link", func() error {
			return unix.Renameat2(unix.AT_FDCWD, path+".new", unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
		}},
	}
	last := make([]error, len(ways))
	granted := make([]bool, len(ways))
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		for i, way := range ways {
			err := way.try()
			last[i], granted[i] = err, granted[i] || err == nil
		}
	}
	var attempts []attempt
	for i, way := range ways {
		a := outcome(way.name, last[i])
		a.Granted = granted[i]
		attempts = append(attempts, a)
	}
	return attempts, os.RemoveAll(path + ".new")
}

// trap replaces a file or directory by a symbolic link.
func trap(args []string) ([]attempt, error) {
	if len(args) != 2 {
		return nil, errors.New("usage: trap PATH TARGET")
	}
	if err := errors.Join(os.RemoveAll(args[0]), os.Symlink(args[1], args[0])); err != nil {
		return nil, err
	}
	return []attempt{{Name: "a link at " + args[0], Granted: true}}, nil
}
