// Package transfer writes files of an agent to this host, and reads files of this host for an agent, as tar archives. The archives of an
// agent are hostile: nothing in them leads out of the directory that they are written to, and their size is bounded.
package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/docker/go-units"
)

// MaxEntries bounds the files and directories of one copy.
const MaxEntries = 100_000

// maxSkipped bounds how many of them are named.
const maxSkipped = 100

// Skipped is what of an archive was not written.
type Skipped struct{ Path, Reason string }

// Extract writes an archive below a directory. The first component of its names, which they all have in common, becomes name. Only regular
// files and directories are written, with the umask and without set-user-ID bits; existing files are overwritten. limit bounds the bytes.
func Extract(archive io.Reader, root *os.Root, name string, limit int64) ([]Skipped, error) {
	x := extraction{root: root, name: name, left: limit, limit: limit, files: map[string]bool{}}
	r := tar.NewReader(archive)
	for n := 0; ; n++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return x.skipped, nil
		}
		if err != nil {
			return x.skipped, fmt.Errorf("read the archive: %w", err)
		}
		if n >= MaxEntries {
			return x.skipped, fmt.Errorf("there are more than %d files: copy a part of them", MaxEntries)
		}
		if err := x.entry(header, r); err != nil {
			return x.skipped, err
		}
	}
}

type extraction struct {
	root        *os.Root
	name        string
	left, limit int64
	files       map[string]bool // written, for hard links
	skipped     []Skipped
}

// local is the path of an entry below the directory; false for one that leads out of it.
func (x *extraction) local(name string) (string, bool) {
	clean := path.Clean(name)
	if path.IsAbs(name) || !fs.ValidPath(clean) || clean == "." || strings.ContainsRune(clean, 0) {
		return "", false
	}
	_, rest, _ := strings.Cut(clean, "/")
	return path.Join(x.name, rest), true
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	at, inside := x.local(h.Name)
	skip := func(reason string) error {
		switch {
		case len(x.skipped) < maxSkipped:
			x.skipped = append(x.skipped, Skipped{h.Name, reason})
		case len(x.skipped) == maxSkipped:
			x.skipped = append(x.skipped, Skipped{h.Name, "nor are more like it"})
		}
		return nil
	}
	switch {
	case !inside:
		return skip("its name leads out of the directory")
	case h.Typeflag == tar.TypeDir:
		return x.directory(at)
	case h.Typeflag == tar.TypeReg:
		return x.file(at, h.FileInfo().Mode().Perm(), content)
	case h.Typeflag == tar.TypeLink:
		from, inside := x.local(h.Linkname)
		if !inside || !x.files[from] {
			return skip("it is a hard link to a file that was not copied")
		}
		return x.link(from, at)
	case h.Typeflag == tar.TypeSymlink:
		return skip("it is a symbolic link to " + h.Linkname)
	}
	return skip("it is no regular file and no directory")
}

func (x *extraction) directory(at string) error {
	if err := x.root.Mkdir(at, 0o777); !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Not through a symbolic link that was there before.
	if info, err := x.root.Lstat(at); err != nil || !info.IsDir() {
		return errors.Join(err, fmt.Errorf("%s exists and is no directory: remove it, or choose another place", at))
	}
	return nil
}

// file writes a file, at most as much as is left.
func (x *extraction) file(at string, mode fs.FileMode, content io.Reader) (err error) {
	f, err := x.create(at, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(content, x.left+1))
	if err != nil {
		return err
	}
	if x.left -= n; x.left < 0 {
		return fmt.Errorf("there is more than %s: allow more with --max-size", units.BytesSize(float64(x.limit)))
	}
	x.files[at] = true
	return nil
}

// create opens a new file, or an existing one, emptied. A symbolic link or a device in its place is not written through: [os.Root] follows
// links as long as they stay inside.
func (x *extraction) create(at string, mode fs.FileMode) (*os.File, error) {
	before, err := x.root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return x.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	}
	if err != nil {
		return nil, err
	}
	inTheWay := fmt.Errorf("%s exists and is no regular file: remove it, or choose another place", at)
	if !before.Mode().IsRegular() {
		return nil, inTheWay
	}
	f, err := x.root.OpenFile(at, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(before, opened) {
		err = inTheWay
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// link copies what a hard link leads to: it may be the user's file, and the agent's a second name of it.
func (x *extraction) link(from, at string) (err error) {
	if from == at {
		return nil
	}
	source, err := x.root.Open(from) // written by this very extraction
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	return x.file(at, info.Mode().Perm(), source)
}
