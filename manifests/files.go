package manifests

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A tree with more directories than this is taken for a mistake: a symlink to the root of the host, say.
const maxDirectories = 100_000

// file is one manifest file found, or a place below which there may be some that can't be read.
type file struct {
	path string // below the path given to Load, as it was given
	abs  string // the same, absolute; symlinks are not resolved, so that it stays when git-sync swaps one
	real string // without symlinks: what tells two ways to one file
	size int64
	mod  time.Time
	mode fs.FileMode
	// changed is when its inode changed: unlike mod, a rename into place sets it on most file systems.
	changed time.Time
	given   bool // by its own path, not found in a directory

	unreachable fault // why it can't be read at all
}

// same tells whether nothing seems to have changed between two listings.
func same(a, b []file) bool {
	return slices.EqualFunc(a, b, func(a, b file) bool {
		return a.path == b.path && a.real == b.real && a.size == b.size && a.mode == b.mode && a.mod.Equal(b.mod) &&
			a.changed.Equal(b.changed) && a.unreachable == b.unreachable
	})
}

// place is a file or directory on the way: the path to it and what that path leads to.
type place struct {
	path  string // as given to Load or found below
	real  string // without symlinks
	info  fs.FileInfo
	given bool // by its own path
}

// walk finds the manifest files, nearest ones first: of several ways to the same file or directory the
// shortest counts, and the first in the alphabet among equally long ones.
type walk struct {
	files []file
	queue []place // directories yet to be read
	seen  map[string]bool
	dirs  int

	// A watcher is told of each directory before it is read, and of each symlink before it is followed. Nil for Load.
	onDirectory func(dir place)
	onLink      func(path string)
}

// list finds the manifest files of the paths. The error is for a path that can't be read.
func list(paths []string) ([]file, error) {
	w := walk{seen: map[string]bool{}}
	for _, path := range paths {
		if err := w.root(path); err != nil {
			return nil, err
		}
	}
	w.descend()
	return w.files, nil
}

// descend reads the directories in the queue and all below them.
func (w *walk) descend() {
	for len(w.queue) > 0 {
		dir := w.queue[0]
		w.queue = w.queue[1:]
		w.directory(dir)
	}
}

func (w *walk) root(path string) error {
	if path == "" { // an unset variable, most likely; not the working directory
		return fmt.Errorf("read manifests in %q: %w", path, fs.ErrNotExist)
	}
	found, err := resolve(path)
	if err != nil {
		return fmt.Errorf("read manifests in %s: %w", path, reasonOf(err))
	}
	if !found.info.IsDir() {
		if err := readable(found); err != nil {
			return fmt.Errorf("read manifest %s: %w", path, reasonOf(err))
		}
		found.given = true
		w.file(found)
		return nil
	}
	if _, err := os.ReadDir(found.real); err != nil {
		return fmt.Errorf("read manifests in %s: %w", path, reasonOf(err))
	}
	w.enqueue(found)
	return nil
}

// readable tells whether a file can be opened; anything but a regular file is judged later.
func readable(p place) error {
	if !p.info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(p.real)
	if err != nil {
		return err
	}
	return f.Close()
}

func (w *walk) enqueue(dir place) {
	if w.seen[dir.real] {
		return // reached before, or a loop
	}
	w.seen[dir.real] = true
	w.queue = append(w.queue, dir)
}

func (w *walk) directory(dir place) {
	if w.dirs++; w.dirs > maxDirectories {
		w.queue = nil
		w.unreachable(dir, fmt.Sprintf("there are more than %d directories", maxDirectories), "give bottled a directory of its own, and look for a symlink that leads out of it")
		return
	}
	if w.onDirectory != nil {
		w.onDirectory(dir)
	}
	entries, err := os.ReadDir(dir.real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // gone since its parent was listed
	case err != nil:
		w.unreachable(dir, "the directory can't be read: "+reasonOf(err).Error(), "give bottled the permission to read it, or move it away")
	}
	for _, entry := range entries {
		w.entry(dir, entry)
	}
}

func (w *walk) entry(dir place, entry fs.DirEntry) {
	name := entry.Name()
	kind := entry.Type()
	if isHidden(name) || (kind&(fs.ModeDir|fs.ModeSymlink) == 0 && !isManifestName(name)) {
		return
	}
	if w.onLink != nil && kind&fs.ModeSymlink != 0 {
		w.onLink(filepath.Join(dir.real, name))
	}
	found, err := child(dir, entry)
	switch {
	case errors.Is(err, fs.ErrNotExist) && gone(filepath.Join(dir.real, name)):
		return
	case err != nil && kind&fs.ModeSymlink != 0:
		w.unreachable(entryOf(dir, name), "the symlink leads nowhere: "+reasonOf(err).Error(), "remove it, or restore what it points to")
	case err != nil:
		w.unreachable(entryOf(dir, name), "it can't be read: "+reasonOf(err).Error(), "give bottled the permission to read it, or move it away")
	case found.info.IsDir():
		w.enqueue(found)
	case isManifestName(name):
		w.file(found)
	}
}

func (w *walk) file(found place) {
	way := found.real
	if isMarkdown(found.path) {
		way += "\x00" + filepath.Base(found.path) // which is the bottle's name: two names are two bottles
	}
	if w.seen[way] {
		return
	}
	w.seen[way] = true
	w.files = append(w.files, fileOf(found))
}

func fileOf(p place) file {
	return file{
		path: p.path, abs: absolute(p), real: p.real,
		size: p.info.Size(), mod: p.info.ModTime(), mode: p.info.Mode(), changed: changeTime(p.info), given: p.given,
	}
}

func (w *walk) unreachable(at place, reason, fix string) {
	f := file{path: at.path, abs: absolute(at), real: at.real, unreachable: fault{reason, fix}}
	if info, err := os.Lstat(at.real); err == nil {
		f.mod, f.changed = info.ModTime(), changeTime(info)
	}
	w.files = append(w.files, f)
}

func absolute(p place) string {
	abs, err := filepath.Abs(p.path)
	if err != nil { // the working directory is gone
		return p.real
	}
	if strings.Contains(p.path, "..") { // which Abs takes back by the text, also where the kernel follows a symlink first
		if real, err := filepath.EvalSymlinks(abs); err != nil || real != p.real {
			return p.real
		}
	}
	return abs
}

// rooted puts the working directory before a relative path. Unlike filepath.Abs it leaves ".." for the kernel to follow.
func rooted(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return join(here, path), nil
}

// entryOf is an entry of a directory that leads no further.
func entryOf(dir place, name string) place {
	return place{path: join(dir.path, name), real: filepath.Join(dir.real, name)}
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// isManifestName tells a manifest by its extension. What editors leave behind (foo.yaml~, #foo.yaml#,
// 4913) has another one, or a hidden name. Whether a Markdown file holds a bottle is only known when it is read.
func isManifestName(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json", markdown:
		return true
	}
	return false
}

// child resolves an entry of a directory. Only symlinks need a look at more than the entry itself.
func child(dir place, entry fs.DirEntry) (place, error) {
	found := entryOf(dir, entry.Name())
	var err error
	if entry.Type()&fs.ModeSymlink == 0 {
		found.info, err = entry.Info()
		return found, err
	}
	target, err := resolve(found.real)
	target.path = found.path
	return target, err
}

// resolve follows a path to its end. Kubelet and git-sync replace symlinks and then remove what they
// pointed to, so that a path can be cut under one's feet: a second try goes the new way.
func resolve(path string) (place, error) {
	from, err := rooted(path) // the working directory's name may have symlinks in it, too
	if err != nil {
		return place{}, err
	}
	for range 3 {
		var real string
		if real, err = filepath.EvalSymlinks(from); err != nil {
			continue
		}
		var info fs.FileInfo
		if info, err = os.Lstat(real); err == nil {
			return place{path: path, real: real, info: info}, nil
		}
	}
	return place{}, err
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// join is filepath.Join without cleaning, so that problems show the path as the user gave it.
func join(dir, name string) string {
	return strings.TrimSuffix(dir, string(filepath.Separator)) + string(filepath.Separator) + name
}

// reasonOf is an error without the path in it, which whoever shows it names already.
func reasonOf(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
