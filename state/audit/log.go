package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/state/owndir"
)

// Log is a bottle's audit log file. It is safe for concurrent use, also by several processes.
type Log struct {
	dir, name string
	bottle    string // "" for the log of heads

	mu     sync.Mutex
	file   *os.File // nil after a failed reopen
	chain  *chain   // of the file; nil when it has to be read
	noted  link     // the last record that the log of heads has from this process
	headAt time.Time
}

// Open opens a bottle's log in the directory of audit logs, and creates both if missing. Close it after use.
func Open(dir, bottle string) (*Log, error) {
	path, err := logPath(dir, bottle)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, name: filepath.Base(path), bottle: bottle}
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

// Append appends a record, a JSON object with fields, as a line, and syncs the file and the log of heads: after nil, the record survives
// a crash, and its removal would be found.
func (l *Log) Append(record any) error {
	if err := l.Write(record); err != nil {
		return err
	}
	return l.Commit()
}

// Write appends a record as Append does. It survives a kill of this process at once, and a crash of the host after Commit.
func (l *Log) Write(record any) error {
	line, err := marshal(record)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _, err = l.write(line)
	return l.wrapWriteError(err)
}

// Commit syncs the file, and then notes in the log of heads how far it goes.
func (l *Log) Commit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.wrapWriteError(fs.ErrClosed)
	}
	if err := l.file.Sync(); err != nil {
		return l.wrapWriteError(err)
	}
	return l.noteHead(0)
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
	l.file, l.chain = file, nil
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

// written is what became of lines.
type written struct {
	lines int   // that are complete, though the last newline may be missing: the next write adds it
	sizes []int // bytes of each line, with its seal; also of one that was written in part
}

// write seals and appends records. moved is true if the file was reopened, since the previous one was renamed or removed.
func (l *Log) write(records ...[]byte) (w written, moved bool, err error) {
	unlock, moved, err := l.lockNamed()
	if err != nil {
		return w, moved, err
	}
	defer unlock()
	if err := l.readOn(); err != nil {
		return w, moved, err
	}
	w, err = l.appendLines(records)
	return w, moved, err
}

// appendLines seals and appends records. The lock is held.
func (l *Log) appendLines(records [][]byte) (w written, err error) {
	defer func() {
		if err != nil {
			l.chain = nil // whatever is in the file now is read again
		}
	}()
	var all []byte
	ends := make([]int, 0, len(records))
	for _, record := range records {
		line, err := l.chain.seal(record)
		if err != nil {
			return w, err
		}
		all = append(all, line...)
		ends = append(ends, len(all))
	}
	n, err := l.file.Write(all)
	begin := 0
	for _, end := range ends {
		if n >= end-1 {
			w.lines++
		}
		w.sizes = append(w.sizes, max(0, min(n, end)-begin))
		begin = end
	}
	return w, err
}

// readOn reads what other processes have written since, or after a crash or an error the whole chain, and ends a line that was cut off:
// it must not swallow the next one.
func (l *Log) readOn() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	switch {
	case l.chain == nil || info.Size() < l.chain.size:
		if l.chain, err = l.readChain(info.Size()); err != nil {
			l.chain = nil
			return err
		}
	case info.Size() > l.chain.size:
		if err := l.chain.read(io.NewSectionReader(l.file, l.chain.size, info.Size()-l.chain.size)); err != nil {
			l.chain = nil
			return err
		}
	}
	if l.chain.size == 0 && l.chain.head.seq > 0 && l.name == HeadsFile {
		return l.repeatHeads()
	}
	cut, err := l.lastLineIncomplete(info.Size())
	if err != nil || !cut {
		return err
	}
	sealed, err := l.endsWithSeal(info.Size())
	if err != nil {
		return err
	}
	if _, err := l.file.WriteString("\n"); err != nil {
		l.chain = nil
		return err
	}
	if sealed {
		l.chain.size++ // the newline belongs to the sealed line
	} else {
		l.chain.cover([]byte("\n"))
	}
	return nil
}

// readChain reads the chain of the file. A new file continues the last one before it that is known: from this process, from the log of
// heads, or beside it. [Archive] makes sure that one of them knows it; a file that somebody moves away just after a write may be forgotten.
func (l *Log) readChain(size int64) (*chain, error) {
	c, err := readChain(l.file, size, link{})
	if err != nil || c.sealed {
		return &c, err
	}
	after := l.noted
	heads, err := lastHeads(l.dir)
	if err != nil {
		return nil, err
	}
	archived, err := l.lastArchived()
	if err != nil {
		return nil, err
	}
	for _, known := range []link{heads[l.bottle], archived} {
		if known.seq > after.seq {
			after = known
		}
	}
	c, err = readChain(l.file, size, after)
	return &c, err
}

// lockNamed locks the file that has the log's name. Without the lock, a file could be archived between the look at its name and the
// write, and its chain end where the next file's does not begin.
func (l *Log) lockNamed() (unlock func(), moved bool, err error) {
	for {
		if l.file == nil {
			if err := l.open(); err != nil {
				return nil, true, err
			}
			moved = true
		}
		fd := int(l.file.Fd())
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return nil, moved, err
		}
		unlock = func() { _ = syscall.Flock(fd, syscall.LOCK_UN) } // closing the file unlocks, too
		named, err := l.isNamed()
		if err == nil && named {
			return unlock, moved, nil
		}
		if err != nil {
			unlock()
			return nil, moved, err
		}
		if err := l.leave(); err != nil {
			return nil, true, err
		}
	}
}

// isNamed reports whether the open file still has the log's name. An operator archives a log by renaming it.
func (l *Log) isNamed() (bool, error) {
	open, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(l.Path())
	return err == nil && os.SameFile(open, named), nil
}

// leave closes an archived file, which unlocks it. The next file continues its chain.
func (l *Log) leave() error {
	err := l.readOn()
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		err = l.noteHead(0)
	}
	err = errors.Join(err, l.file.Close())
	l.file, l.chain = nil, nil
	return err
}

// lastLineIncomplete reports whether the file ends without a newline.
func (l *Log) lastLineIncomplete(size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	last := make([]byte, 1)
	_, err := l.file.ReadAt(last, size-1)
	return last[0] != '\n', err
}

// endsWithSeal reports whether only the newline is missing after the last line.
func (l *Log) endsWithSeal(size int64) (bool, error) {
	end := make([]byte, min(size, 256))
	if _, err := l.file.ReadAt(end, size-int64(len(end))); err != nil {
		return false, err
	}
	_, sealed := parseSeal(end)
	return sealed, nil
}
