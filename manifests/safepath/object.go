package safepath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Errors that callers distinguish.
var (
	// ErrNotRegular is returned for a FIFO, socket, device or directory where a file is expected.
	ErrNotRegular = errors.New("it is not a regular file")
	// ErrTooLarge is returned for a file above the caller's limit.
	ErrTooLarge = errors.New("it is too large")
	// ErrMagicLink is returned for a path through a link of procfs, like /proc/self/root.
	ErrMagicLink = errors.New("it leads through a link of /proc")
	// ErrMoved is returned when a directory of the path was renamed while the path was resolved.
	ErrMoved = errors.New("it was moved while it was looked up")
)

// Location is a place in a file system: the same for every name, link and bind mount that leads there.
type Location struct {
	FS   string // the device as major:minor
	Path string // absolute, from the file system's own root
}

// Within reports whether l is the other location or below it, and the path from there: "." for the location itself.
func (l Location) Within(other Location) (rel string, ok bool) {
	switch {
	case l.FS != other.FS:
		return "", false
	case l.Path == other.Path:
		return ".", true
	case other.Path == "/":
		return l.Path[1:], true
	}
	return strings.CutPrefix(l.Path, other.Path+"/")
}

// ID identifies a file for as long as it exists.
type ID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// Object is an open reference to a file of any type. It holds the file itself: renaming or replacing the path changes nothing.
type Object struct {
	Real string // the absolute path without symbolic links
	ID   ID
	Info fs.FileInfo
	// Trace holds the locations that decided where the path leads: every directory passed, every symbolic link followed and,
	// last, the object.
	Trace []Location

	file *os.File
}

// Location returns where the object is.
func (o *Object) Location() Location { return o.Trace[len(o.Trace)-1] }

// Close releases the object.
func (o *Object) Close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// Read returns the content of a regular file. It fails with ErrNotRegular, or with ErrTooLarge when there is more than limit
// bytes.
func (o *Object) Read(limit int64) ([]byte, error) {
	data, err := o.ReadUpTo(limit + 1)
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return data, err
}

// ReadUpTo returns the first bytes of a regular file.
func (o *Object) ReadUpTo(n int64) ([]byte, error) {
	if !o.Info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	f, err := o.reopen(os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}

// Readable reports whether the content of a regular file may be read.
func (o *Object) Readable() error {
	f, err := o.reopen(os.O_RDONLY)
	if err != nil {
		return err
	}
	return f.Close()
}

// ReadDir returns the entries of a directory, sorted by name.
func (o *Object) ReadDir() ([]fs.DirEntry, error) {
	f, err := o.reopen(os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	sortEntries(entries)
	return entries, err
}

// join appends a path below a location.
func (l Location) join(rel string) Location {
	return Location{FS: l.FS, Path: path.Join(l.Path, rel)}
}
