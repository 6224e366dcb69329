package safepath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinks bounds the symbolic links of one path, as the kernel does.
	maxLinks = 40
	// maxSteps bounds the components of one path, with those of its links.
	maxSteps = 4096
	// attempts is how often a path is resolved again because a directory of it was renamed meanwhile.
	attempts = 3
)

// Open resolves an absolute path. Symbolic links are followed, but for those of procfs (ErrMagicLink). The file itself is not
// opened for reading, so that Open never blocks on a FIFO and wakes no device. The error is an *fs.PathError.
func Open(name string) (*Object, error) {
	if !path.IsAbs(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("the path is not absolute")}
	}
	var err error
	for range attempts {
		var o *Object
		if o, err = open(name); err == nil {
			return o, nil
		}
		if !errors.Is(err, ErrMoved) {
			break
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: err}
}

// walker is a path while it is resolved. The last element of stack is where it has come to.
type walker struct {
	stack []step
	rest  []string // components to come
	links int
	trace []Location
}

// step is one directory on the way, or the object at its end.
type step struct {
	fd    int
	name  string // "" for the root
	stat  unix.Statx_t
	mount mountEntry
}

func open(name string) (*Object, error) {
	w := walker{rest: strings.Split(name, "/")}
	defer w.close()
	if err := w.root(); err != nil {
		return nil, err
	}
	for steps := 0; len(w.rest) > 0; steps++ {
		if steps > maxSteps {
			return nil, unix.ENAMETOOLONG
		}
		component := w.rest[0]
		w.rest = w.rest[1:]
		if err := w.enter(component); err != nil {
			return nil, err
		}
	}
	return w.object()
}

func (w *walker) close() {
	for _, s := range w.stack {
		_ = unix.Close(s.fd)
	}
	w.stack = nil
}

// root begins at the root directory.
func (w *walker) root() error {
	w.close()
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return w.push(fd, "")
}

// push takes over fd as where the path has come to.
func (w *walker) push(fd int, name string) error {
	s := step{fd: fd, name: name}
	w.stack = append(w.stack, s)
	top := &w.stack[len(w.stack)-1]
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &top.stat)
	if err != nil {
		return err
	}
	if top.mount, err = mounts.of(fd, &top.stat); err != nil {
		return err
	}
	w.trace = append(w.trace, w.location())
	return nil
}

func (w *walker) top() *step { return &w.stack[len(w.stack)-1] }

// real is the path of the top, as the names that were entered say it.
func (w *walker) real() string {
	names := make([]string, 0, len(w.stack))
	for _, s := range w.stack[1:] {
		names = append(names, s.name)
	}
	return "/" + strings.Join(names, "/")
}

func (w *walker) location() Location {
	m := w.top().mount
	rel, err := filepath.Rel(m.point, w.real())
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		rel = "." // a mount point that is not where it is listed; object finds that out
	}
	return Location{FS: m.fs, Path: m.root}.join(rel)
}

// enter goes one component further.
func (w *walker) enter(name string) error {
	switch name {
	case "", ".":
		if w.top().stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			return unix.ENOTDIR
		}
		return nil
	case "..":
		if len(w.stack) > 1 {
			_ = unix.Close(w.top().fd)
			w.stack = w.stack[:len(w.stack)-1]
		}
		return nil
	}
	fd, err := unix.Openat(w.top().fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := w.push(fd, name); err != nil {
		return err
	}
	if w.top().stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return w.follow()
	}
	return nil
}

// follow replaces the symbolic link at the top by where it leads.
func (w *walker) follow() error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	var fsStat unix.Statfs_t
	if err := unix.Fstatfs(w.top().fd, &fsStat); err != nil {
		return err
	}
	if fsStat.Type == unix.PROC_SUPER_MAGIC {
		return ErrMagicLink
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.top().fd, "", target)
	if err != nil {
		return err
	}
	_ = unix.Close(w.top().fd)
	w.stack = w.stack[:len(w.stack)-1]
	to := string(target[:n])
	w.rest = append(strings.Split(to, "/"), w.rest...)
	if path.IsAbs(to) {
		return w.root()
	}
	return nil
}

// object ends the walk. The kernel's own path of the object must be the one that was walked.
func (w *walker) object() (*Object, error) {
	top := w.top()
	said, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(top.fd))
	if err != nil {
		return nil, fmt.Errorf("look up the path of an open file: %w", err)
	}
	if said != w.real() {
		return nil, ErrMoved
	}
	fd := top.fd
	w.stack = w.stack[:len(w.stack)-1]
	file := os.NewFile(uintptr(fd), said)
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	id := ID{Dev: unix.Mkdev(top.stat.Dev_major, top.stat.Dev_minor), Ino: top.stat.Ino}
	return &Object{Real: said, ID: id, Info: info, Trace: w.trace, file: file}, nil
}

// reopen opens the object itself, whatever is at its path now.
func (o *Object) reopen(flags int) (*os.File, error) {
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(o.file.Fd())), flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// Root opens a directory for changes in it, whatever is at its path now.
func (o *Object) Root() (*os.Root, error) {
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(o.file.Fd())))
}

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
