// Package audit keeps the record of what was decided about a bottle: requests that left or were refused, credentials that
// were used, proposals and their answers. It lies on the host, where no container has it.
//
// A bottle's log is one file of JSON lines, <state dir>/audit/<bottle>.jsonl. It is only ever appended to. Log is that file;
// Trail decides what of a sidecar's output goes into it.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/state/owndir"
)

// Log is a bottle's audit log. It is safe for concurrent use, by several processes too.
type Log struct {
	dir, name string

	mu   sync.Mutex
	file *os.File // nil until it is needed
}

// Open opens a bottle's log in the directory of audit logs, and makes both when they are missing. Close it after use.
func Open(dir, bottle string) (*Log, error) {
	if bottle == "" || bottle == "." || bottle == ".." || strings.ContainsAny(bottle, "/\x00") {
		return nil, fmt.Errorf("open audit log: %q is no bottle's name", bottle)
	}
	l := &Log{dir: dir, name: bottle + ".jsonl"}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.open()
}

// Path is where the log is.
func (l *Log) Path() string { return filepath.Join(l.dir, l.name) }

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// Append adds a record. It has reached the disk when Append returns without an error.
func (l *Log) Append(record any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, _, err = l.write(append(line, '\n')); err == nil {
		err = l.file.Sync()
	}
	return l.explain(err)
}

func (l *Log) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write audit log %s: %w", l.Path(), err)
}

// open opens the file by its name, without following a link in the last two steps of its path. Whoever can make the
// directory, or a file in it, other than ours could read the log or choose what is appended to.
func (l *Log) open() error {
	if err := owndir.Make(l.dir, 0o700); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	dir, err := os.OpenFile(l.dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	defer dir.Close()
	if err := checkOwn(dir, fs.ModeDir); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), l.name, flags, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", &os.PathError{Op: "open", Path: l.Path(), Err: err})
	}
	file := os.NewFile(uintptr(fd), l.Path())
	if err := checkOwn(file, 0); err != nil {
		return fmt.Errorf("open audit log: %w", errors.Join(err, file.Close()))
	}
	l.file = file
	return nil
}

// checkOwn fails for a file that others could write or read, or that is of another type.
func checkOwn(f *os.File, kind fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Type() != kind:
		return fmt.Errorf("%s is a %v: remove it", f.Name(), info.Mode().Type())
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user: remove it, or give it to user %d", f.Name(), os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o: take it from others (chmod go= %s)", f.Name(), info.Mode().Perm(), f.Name())
	case kind == 0 && stat.Nlink > 1:
		return fmt.Errorf("%s has a second name (hard link): remove one of them", f.Name())
	}
	return nil
}

// write appends lines and returns how many of their bytes are in the file, also when it fails. moved says that the file was
// opened anew, since the one before was renamed or removed.
func (l *Log) write(lines []byte) (n int, moved bool, err error) {
	if moved, err = l.reopen(); err != nil {
		return 0, moved, err
	}
	fd := int(l.file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return 0, moved, err
	}
	defer func() { _ = syscall.Flock(fd, syscall.LOCK_UN) }() // closing the file unlocks, too
	cut, err := l.cutShort()
	if err != nil {
		return 0, moved, err
	}
	if cut { // the line of one who crashed, or found the disk full, must not swallow this one
		if _, err := l.file.WriteString("\n"); err != nil {
			return 0, moved, err
		}
	}
	n, err = l.file.Write(lines)
	return n, moved, err
}

// reopen makes sure that the open file is the one that has the name: an operator archives a log by renaming it.
func (l *Log) reopen() (moved bool, err error) {
	if l.file != nil {
		open, err := l.file.Stat()
		if err != nil {
			return false, err
		}
		named, err := os.Lstat(l.Path())
		if err == nil && os.SameFile(open, named) {
			return false, nil
		}
		if err := l.file.Close(); err != nil {
			return true, err
		}
		l.file = nil
	}
	return true, l.open()
}

// cutShort tells whether the last line is incomplete.
func (l *Log) cutShort() (bool, error) {
	info, err := l.file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = l.file.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}
