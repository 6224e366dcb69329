package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// overwrite tries to open files for writing.
func overwrite(paths []string) ([]attempt, error) { return eachFile(paths, "write ", openForWriting) }

// alter tries to make a file beside each of some, and to change its mode.
func alter(paths []string) ([]attempt, error) {
	beside, err := eachFile(paths, "a file beside ", func(path string) error { return makeFile(filepath.Join(filepath.Dir(path), "attack")) })
	if err != nil {
		return nil, err
	}
	modes, err := eachFile(paths, "the mode of ", chmod)
	return append(beside, modes...), err
}

// eachFile fails for one that isn't there, which proves nothing.
func eachFile(paths []string, name string, do func(path string) error) ([]attempt, error) {
	var attempts []attempt
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			return attempts, err
		}
		attempts = append(attempts, outcome(name+path, do(path)))
	}
	return attempts, nil
}

func openForWriting(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(path))
}

func chmod(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode().Perm())
}

// largest is how much of a file is searched: environments, arguments and configuration are smaller.
const largest = 1 << 20

// find looks for a text in everything that can be read: the environment, arguments, descriptors and memory maps of every
// process, and every file of every mount. Granted is a place where it is.
func find(args []string) ([]attempt, error) {
	if len(args) != 1 || len(args[0]) < 8 {
		return nil, errors.New("usage: find HALVES, a text with a | in its middle that does not count")
	}
	// In two halves, so that this process's own arguments are not what is found.
	needle := []byte(strings.Replace(args[0], "|", "", 1))
	var attempts []attempt
	searched := 0
	err := filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && entry != nil && entry.IsDir():
			return fs.SkipDir
		case err != nil:
			return nil //nolint:nilerr // what can't be read can't be found in
		case entry.IsDir() && (path == "/sys" || strings.HasPrefix(path, "/proc/") && strings.HasSuffix(path, "/task")):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		found, ok := contains(path, needle)
		if ok {
			searched++
		}
		if found {
			attempts = append(attempts, attempt{Name: path, Granted: true})
		}
		return nil
	})
	if err == nil && searched < 20 {
		err = fmt.Errorf("only %d files could be read", searched)
	}
	return attempts, err
}

func contains(path string, needle []byte) (found, read bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		return false, false
	}
	return bytes.Contains(data, needle), true
}

// socketsAt tries to connect to sockets in the file system.
func socketsAt(paths []string) ([]attempt, error) {
	var attempts []attempt
	for _, path := range paths {
		attempts = append(attempts, outcome(path, dial("unix", path, "")))
	}
	return attempts, nil
}

// show tells what is in a file, as the name of an attempt.
func show(paths []string) ([]attempt, error) {
	var attempts []attempt
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		attempts = append(attempts, attempt{Name: string(data), Granted: true})
	}
	return attempts, nil
}

// processes looks for processes with a text in their arguments.
func processes(args []string) ([]attempt, error) {
	if len(args) != 1 {
		return nil, errors.New("usage: processes TEXT")
	}
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var attempts []attempt
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || filepath.Dir(path) == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue // it has ended, or is this one
		}
		attempts = append(attempts, attempt{Name: path, Granted: bytes.Contains(line, []byte(args[0])), Error: string(line)})
	}
	return attempts, nil
}
