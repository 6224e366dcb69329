package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

const (
	treeName     = "tree"
	incomingName = "incoming" // a file that is being written; it is moved into the tree when it is complete

	// Containers that have a part of the tree mounted read it as other users, so the mode does not depend on the umask;
	// the directory above the tree is closed to others.
	dirMode        = 0o755
	fileMode       = 0o644
	executableMode = 0o755
)

// worktree is the directory with the files. go-git's own removes a file before it writes the new one, and writes it in place;
// this one replaces each file at once. Nor does it need an index, which a crash could leave half written.
//
// All access goes through an os.Root, and parents are made sure to be directories before what is in them, so that no symlink
// is followed.
type worktree struct {
	dir   string
	known map[string]known // by path
}

// known is a file whose content was looked at, so that it need not be read again as long as it is the same file.
type known struct {
	info fs.FileInfo
	hash hash
}

// sync makes the tree equal to the listing and tells whether it had to change anything.
func (w *worktree) sync(ctx context.Context, want *listing, objects *store) (changed bool, err error) {
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	if err := prepare(root); err != nil {
		return false, err
	}
	c := comparison{root: root, want: want, known: w.known, same: map[string]known{}}
	if err := fs.WalkDir(root.FS(), treeName, c.visit); err != nil {
		return c.changed, err
	}
	w.known = c.same
	names := slices.Sorted(maps.Keys(want.files))
	for _, name := range names {
		if _, same := c.same[name]; same {
			continue
		}
		if err := ctx.Err(); err != nil {
			return c.changed, err
		}
		c.changed = true
		if err := write(root, name, want.files[name], objects); err != nil {
			return c.changed, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return c.changed, nil
}

// prepare makes the tree's directory, in the place of anything else.
func prepare(root *os.Root) error {
	if err := root.RemoveAll(incomingName); err != nil {
		return err
	}
	info, err := root.Lstat(treeName)
	if err == nil && !info.IsDir() {
		err = errors.Join(root.Remove(treeName), fs.ErrNotExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return mkdir(root, treeName)
	}
	return err
}

// comparison walks through the tree as it is, and removes what must not be there.
type comparison struct {
	root    *os.Root
	want    *listing
	known   map[string]known // from the last time
	same    map[string]known // files as they should be
	changed bool
}

func (c *comparison) visit(at string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(strings.TrimPrefix(at, treeName), "/")
	if !d.IsDir() {
		return c.file(at, name, info)
	}
	if name != "" && !c.want.dirs[name] {
		if err := c.remove(at); err != nil {
			return err
		}
		return fs.SkipDir
	}
	if info.Mode().Perm() != dirMode {
		c.changed = true
		return c.root.Chmod(at, dirMode)
	}
	return nil
}

func (c *comparison) file(at, name string, info fs.FileInfo) error {
	want, wanted := c.want.files[name]
	if !wanted {
		return c.remove(at)
	}
	if want.mode == filemode.Symlink && info.Mode().Type() == fs.ModeSymlink {
		target, err := c.root.Readlink(at)
		if err == nil && target == want.target {
			c.same[name] = known{}
		}
		return err
	}
	if info.Mode() != want.osMode() {
		return nil // replaced later
	}
	before, seen := c.known[name]
	if !seen || !unchanged(before.info, info) {
		h, err := hashFile(c.root, at, info.Size())
		if err != nil {
			return err
		}
		before = known{settled(info), h}
	}
	if before.hash == want.hash {
		c.same[name] = before
	}
	return nil
}

func (c *comparison) remove(at string) error {
	c.changed = true
	return c.root.RemoveAll(at)
}

// settled is nil for a file that was just changed: another change may come that leaves the time as it is.
func settled(info fs.FileInfo) fs.FileInfo {
	if time.Since(info.ModTime()) < 2*time.Second {
		return nil
	}
	return info
}

func unchanged(before, now fs.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}

func hashFile(root *os.Root, at string, size int64) (hash, error) {
	f, err := root.Open(at)
	if err != nil {
		return hash{}, err
	}
	defer f.Close()
	h := plumbing.NewHasher(plumbing.BlobObject, size)
	_, err = io.Copy(h, f)
	return h.Sum(), err
}

// osMode is the mode of a file that is no symlink.
func (e entry) osMode() fs.FileMode {
	switch e.mode {
	case filemode.Executable:
		return executableMode
	case filemode.Symlink:
		return fs.ModeSymlink
	}
	return fileMode
}

// write puts a file or symlink into its place at once: whoever reads it meanwhile gets all of the old one or all of the new.
func write(root *os.Root, name string, e entry, objects *store) error {
	at := path.Join(treeName, name)
	if err := makeDirs(root, path.Dir(at)); err != nil {
		return err
	}
	var err error
	if e.mode == filemode.Symlink {
		err = root.Symlink(e.target, incomingName)
	} else {
		err = writeIncoming(root, e, objects)
	}
	if err != nil {
		return errors.Join(err, root.RemoveAll(incomingName))
	}
	return root.Rename(incomingName, at)
}

func makeDirs(root *os.Root, dir string) error {
	if _, err := root.Lstat(dir); err == nil {
		return nil
	}
	if err := makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	return mkdir(root, dir)
}

// mkdir does not leave the mode to the umask.
func mkdir(root *os.Root, dir string) error {
	if err := root.Mkdir(dir, dirMode); err != nil {
		return err
	}
	return root.Chmod(dir, dirMode)
}

// writeIncoming also compares the content with the object's name, since go-git does not.
func writeIncoming(root *os.Root, e entry, objects *store) error {
	content, size, err := objects.blob(e.hash)
	if err != nil {
		return err
	}
	defer content.Close()
	f, err := root.OpenFile(incomingName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	h := plumbing.NewHasher(plumbing.BlobObject, size)
	_, err = io.Copy(io.MultiWriter(f, h), content)
	if err = errors.Join(err, f.Chmod(e.osMode()), f.Close()); err != nil {
		return err
	}
	if got := h.Sum(); got != e.hash {
		return fmt.Errorf("%w: file content %s has the hash %s", errDamaged, e.hash, got)
	}
	return nil
}
