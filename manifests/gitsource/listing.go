package gitsource

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	maxPath  = 4096 // bytes, also of a symlink's target
	maxLinks = 255  // symlinks followed on one way
)

// maxEntries: a commit with more files and directories is not checked out, since a few objects are enough to describe billions
// of them. It is a variable for tests.
var maxEntries = 250_000

// listing is what a commit's tree has, by path with slashes.
type listing struct {
	files map[string]entry
	dirs  map[string]bool
}

type entry struct {
	hash   hash
	mode   filemode.FileMode // Regular, Executable or Symlink
	target string            // of a symlink
}

// list reads a tree. What it must not have is a refusal's reason.
func list(ctx context.Context, objects *store, tree hash) (*listing, error) {
	l := &listing{map[string]entry{}, map[string]bool{}}
	if err := l.read(ctx, objects, tree, ""); err != nil {
		return nil, err
	}
	return l, l.checkLinks()
}

func (l *listing) read(ctx context.Context, objects *store, tree hash, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := object.GetTree(objects, tree)
	if err != nil {
		return fmt.Errorf("%w: directory %q, %s: %w", errDamaged, dir, tree, err)
	}
	for _, e := range t.Entries {
		name := path.Join(dir, e.Name)
		if err := l.checkName(name, e.Name); err != nil {
			return err
		}
		if err := l.add(ctx, objects, name, e); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses names that would be another place in the file system, or make Git think of a repository.
func (l *listing) checkName(name, last string) error {
	_, taken := l.files[name]
	switch {
	case last == "." || last == ".." || strings.Contains(last, "/") || strings.EqualFold(last, ".git"):
		return refusef("it has an entry with the name %q, which is not allowed", last)
	case taken || l.dirs[name]:
		return refusef("it has two entries with the name %q", name)
	case len(name) > maxPath:
		return refusef("it has a path with more than %d bytes", maxPath)
	case len(l.files)+len(l.dirs) >= maxEntries:
		return refusef("it has more than %d files and directories", maxEntries)
	}
	return nil
}

func (l *listing) add(ctx context.Context, objects *store, name string, e object.TreeEntry) error {
	found := entry{hash: e.Hash, mode: e.Mode}
	switch e.Mode {
	case filemode.Dir:
		l.dirs[name] = true
		return l.read(ctx, objects, e.Hash, name)
	case filemode.Symlink:
		target, err := readTarget(objects, name, e.Hash)
		if err != nil {
			return err
		}
		found.target = target
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		if e.Mode == filemode.Deprecated {
			found.mode = filemode.Regular
		}
	default:
		return nil // a submodule
	}
	l.files[name] = found
	return nil
}

func readTarget(objects *store, name string, h hash) (string, error) {
	r, _, err := objects.blob(h)
	if err != nil {
		return "", err
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, maxPath+1))
	switch {
	case err != nil:
		return "", err
	case len(target) == 0 || len(target) > maxPath || slices.Contains(target, 0):
		return "", refusef("the symlink %q has a target that is empty, too long, or has a zero byte", name)
	}
	return string(target), nil
}

// checkLinks refuses symlinks that lead out: what follows them would read files of the host.
func (l *listing) checkLinks() error {
	var out []string
	for name, e := range l.files {
		if e.mode == filemode.Symlink && l.leadsOut(name) {
			out = append(out, fmt.Sprintf("%q (to %q)", name, e.target))
		}
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

// leadsOut follows a symlink as the kernel would: a part that is a symlink itself counts as what it points to.
func (l *listing) leadsOut(name string) bool {
	var at []string // the way from the root; no symlinks in it
	ahead := strings.Split(name, "/")
	for links := 0; len(ahead) > 0; {
		part := ahead[0]
		ahead = ahead[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return true
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		e := l.files[strings.Join(at, "/")]
		if e.mode != filemode.Symlink {
			continue
		}
		if links++; path.IsAbs(e.target) {
			return true
		}
		if links > maxLinks {
			return false // a loop, which leads nowhere
		}
		at = at[:len(at)-1]
		ahead = append(strings.Split(e.target, "/"), ahead...)
	}
	return false
}
