//go:build !linux

package safepath

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Open resolves an absolute path by its text: bottles run on Linux only, and elsewhere no agent writes.
func Open(name string) (*Object, error) {
	if !path.IsAbs(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("the path is not absolute")}
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return nil, err
	}
	return &Object{Real: real, Info: info, Trace: []Location{{Path: real}}}, nil
}

func (o *Object) reopen(flags int) (*os.File, error) { return os.OpenFile(o.Real, flags, 0) }

// Root opens a directory for changes in it.
func (o *Object) Root() (*os.Root, error) { return os.OpenRoot(o.Real) }

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
