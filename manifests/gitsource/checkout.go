package gitsource

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	maxPath = 4096 // bytes, also of a symlink's target

	// Modes must not depend on the umask: they are part of an image that is built of a checkout. The directory above is closed.
	dirMode        = 0o755
	fileMode       = 0o644
	executableMode = 0o755
)

// maxEntries limits the files and directories of a commit, since a few objects are enough to describe billions of them. It is a
// variable for tests.
var maxEntries = 250_000

// checkout writes a commit's files into an empty directory. go-git's own Checkout can't be interrupted, goes by the umask, knows no
// limits, and doesn't compare the content with the object's name.
type checkout struct {
	ctx     context.Context
	root    *os.Root
	objects repository
	entries int
	links   []string
}

func writeTree(ctx context.Context, dir string, objects repository, tree plumbing.Hash) error {
	if err := removeAll(dir); err != nil {
		return fmt.Errorf("remove an earlier checkout: %w", err)
	}
	if err := errors.Join(os.Mkdir(dir, dirMode), os.Chmod(dir, dirMode)); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := checkout{ctx: ctx, root: root, objects: objects}
	if err := c.dir(tree, ""); err != nil {
		return err
	}
	return c.checkLinks()
}

func (c *checkout) dir(tree plumbing.Hash, dir string) error {
	t, err := object.GetTree(c.objects, tree)
	if err != nil {
		return fmt.Errorf("directory %q, %s: %w", dir, tree, err)
	}
	for _, e := range t.Entries {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		name := path.Join(dir, e.Name)
		if err := c.checkName(name, e.Name); err != nil {
			return err
		}
		err := c.entry(name, e)
		if errors.Is(err, fs.ErrExist) {
			return refusef("it has two entries with the name %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses names that would be another place in the file system, or make Git think of a repository.
func (c *checkout) checkName(name, last string) error {
	c.entries++
	switch {
	case last == "" || last == "." || last == ".." || strings.Contains(last, "/") || strings.EqualFold(last, ".git"):
		return refusef("it has an entry with the name %q, which is not allowed", last)
	case len(name) > maxPath:
		return refusef("it has a path with more than %d bytes", maxPath)
	case c.entries > maxEntries:
		return refusef("it has more than %d files and directories", maxEntries)
	}
	return nil
}

func (c *checkout) entry(name string, e object.TreeEntry) error {
	switch e.Mode {
	case filemode.Submodule:
		return nil
	case filemode.Dir:
		if err := errors.Join(c.root.Mkdir(name, dirMode), c.root.Chmod(name, dirMode)); err != nil {
			return err
		}
		return c.dir(e.Hash, name)
	case filemode.Executable:
		return c.file(name, e, executableMode)
	case filemode.Symlink:
		c.links = append(c.links, name)
		return c.file(name, e, fs.ModeSymlink)
	}
	return c.file(name, e, fileMode)
}

func (c *checkout) file(name string, e object.TreeEntry, mode fs.FileMode) error {
	blob, err := object.GetBlob(c.objects, e.Hash)
	if err != nil {
		return fmt.Errorf("the content of %s: %w", name, err)
	}
	content, err := blob.Reader()
	if err != nil {
		return fmt.Errorf("the content of %s: %w", name, err)
	}
	defer content.Close()
	if mode == fs.ModeSymlink {
		target, err := io.ReadAll(io.LimitReader(content, maxPath+1))
		if err != nil {
			return fmt.Errorf("the content of %s: %w", name, err)
		}
		if len(target) >= maxPath {
			return refusef("the symlink %q has a target of %d bytes or more", name, maxPath)
		}
		return c.root.Symlink(string(target), name)
	}
	f, err := c.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	h := plumbing.NewHasher(plumbing.BlobObject, blob.Size)
	_, err = io.Copy(io.MultiWriter(f, h), content)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if got := h.Sum(); got != e.Hash {
		return fmt.Errorf("the content of %s is damaged: it should have the hash %s and has %s", name, e.Hash, got)
	}
	return nil
}

// checkLinks refuses symlinks that lead out: what follows them would read files of the host. A symlink into nothing may stay.
func (c *checkout) checkLinks() error {
	var out []string
	for _, name := range c.links {
		_, err := c.root.Stat(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		target, err := c.root.Readlink(name)
		if err != nil {
			return err
		}
		out = append(out, fmt.Sprintf("%q (to %q)", name, target))
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	if more := len(out) - 5; more > 0 {
		out = append(out[:5], fmt.Sprintf("%d more", more))
	}
	return refusef("it has symlinks that lead out of the repository: %s; remove them, or let them point to a place inside, relative to themselves",
		strings.Join(out, ", "))
}

// fingerprint reports whether somebody changed a directory tree, without reading the files.
func fingerprint(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inode, changed := identity(info)
		_, err = fmt.Fprintf(sum, "%q %v %d %d %d %d\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano(), inode, changed)
		return err
	})
	return string(sum.Sum(nil)), err
}

// replace puts a file or directory into the place of another. The old one, if any, is at the new one's path then.
func replace(next, place string) error {
	err := os.Rename(next, place) // when nothing, or an empty directory, is there
	if err == nil {
		return nil
	}
	return exchange(next, place)
}

// exchangeInSteps swaps two paths where the kernel can't do that at once.
func exchangeInSteps(next, place string) error {
	aside := place + asideSuffix
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(place, aside); err != nil {
		return err
	}
	if err := os.Rename(next, place); err != nil {
		return errors.Join(err, os.Rename(aside, place))
	}
	return os.Rename(aside, next)
}

// removeAll also removes directories that somebody closed.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(at, 0o700) //nolint:gosec // a directory
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(path))
}
