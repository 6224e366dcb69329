package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/state/owndir"
)

// Log is a bottle's audit log file. It is safe for concurrent use, also by several processes.
type Log struct {
	dir, name string

	mu   sync.Mutex
	file *os.File // nil after a failed reopen
}

// Open opens a bottle's log in the directory of audit logs, and creates both if missing. Close it after use.
func Open(dir, bottle string) (*Log, error) {
	path, err := logPath(dir, bottle)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, name: filepath.Base(path)}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.open()
}

// Path returns the path of the file.
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

// Append appends a record as a JSON line and syncs the file: after nil, the record survives a crash.
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
	return l.wrapWriteError(err)
}

func (l *Log) wrapWriteError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write audit log %s: %w", l.Path(), err)
}

// open opens the file without following links in the last two elements of its path, and checks its owner and mode: somebody who planted
// the directory or the file could read the log, or redirect it to another file.
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

// checkOwn fails for a file that others can read or write, or of another type.
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
		return fmt.Errorf("%s has mode %04o, so others can read or change it: chmod go= %s", f.Name(), info.Mode().Perm(), f.Name())
	case kind == 0 && stat.Nlink > 1:
		return fmt.Errorf("%s has a second name (hard link): remove one of them", f.Name())
	}
	return nil
}

// write appends lines and returns how many of their bytes were written, also on failure. moved is true if the file was reopened, since
// the previous one was renamed or removed.
func (l *Log) write(lines []byte) (n int, moved bool, err error) {
	if moved, err = l.reopen(); err != nil {
		return 0, moved, err
	}
	fd := int(l.file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return 0, moved, err
	}
	defer func() { _ = syscall.Flock(fd, syscall.LOCK_UN) }() // closing the file unlocks, too
	cut, err := l.lastLineIncomplete()
	if err != nil {
		return 0, moved, err
	}
	if cut { // the incomplete line of a crash or a full disk must not swallow this one
		if _, err := l.file.WriteString("\n"); err != nil {
			return 0, moved, err
		}
	}
	n, err = l.file.Write(lines)
	return n, moved, err
}

// reopen opens a new file if the open one was renamed, which is how an operator archives a log.
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

// lastLineIncomplete reports whether the file ends without a newline.
func (l *Log) lastLineIncomplete() (bool, error) {
	info, err := l.file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = l.file.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}
