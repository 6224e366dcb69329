package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// A tree with more directories or manifest files than this is taken for a mistake, like a symlink to the root of the host.
var (
	maxDirectories = 10_000 // tests have fewer
	maxFiles       = 20_000
)

// file is one manifest file found, or a place below which there may be some that can't be read.
type file struct {
	parse.Location
	real  string // without symlinks: the same for two ways to one file
	id    safepath.ID
	trace []safepath.Location // what decided where path leads
	size  int64
	mod   time.Time
	mode  fs.FileMode
	// changed is when its inode changed: unlike mod, a rename into place sets it on most file systems.
	changed time.Time
	given   bool // by its own path, not found in a directory

	unreachable scalar.Fault // why it can't be read at all
	instead     *Overlay     // what is taken for its content; nil: what is in it
}

// same reports whether nothing seems to have changed between two listings.
func same(a, b []file) bool {
	return slices.EqualFunc(a, b, func(a, b file) bool {
		return a.Path == b.Path && a.real == b.real && a.id == b.id && a.size == b.size && a.mode == b.mode && a.mod.Equal(b.mod) &&
			a.changed.Equal(b.changed) && a.unreachable == b.unreachable
	})
}

// place is a file or directory on the way: the path to it and what that path leads to.
type place struct {
	path  string // as given to Load or found below
	real  string // without symlinks
	id    safepath.ID
	trace []safepath.Location
	info  fs.FileInfo
	given bool // by its own path
	// ignore are the patterns for what is in this directory.
	ignore []gitignore.Pattern
}

// walk finds the manifest files, nearest ones first: of several ways to the same file or directory the
// shortest counts, and the first in the alphabet among equally long ones.
//
// Places that an agent can write are neither entered nor followed through.
type walk struct {
	writable safepath.Set
	learned  []safepath.Place // of this level
	files    []file
	unread   []Unread
	ignored  []ignoredPath
	queue    []place // directories yet to be read
	seen     map[string]bool
	dirs     int
	cut      bool // there is more than a walk reads

	// onFile is called for each manifest file before any directory below its own is read. It returns the places that are
	// writable by what the file declares. Nil: none are.
	onFile func(file) []safepath.Place
	// A watcher's hooks: onDirectory is called before a directory is read, onLink before a symlink is followed. Nil for Load.
	onDirectory func(dir place)
	onLink      func(path string)
}

// Unread is a directory or file that was not read for manifests, since an agent can write it.
type Unread struct {
	Path  string // as reached from the path given to Load
	Abs   string // the same, absolute
	Place safepath.Place
}

// newWalk returns a walk that keeps out of what is writable.
func newWalk(writable safepath.Set) *walk {
	return &walk{writable: writable, seen: map[string]bool{}}
}

// run finds the manifest files of the paths. The error is for a path that can't be read.
func (w *walk) run(paths []string) error {
	for _, path := range paths {
		if err := w.root(path); err != nil {
			return err
		}
	}
	w.descend()
	return nil
}

// descend reads the directories in the queue and all below them, level by level. What a file makes writable counts for the
// levels below: two files of one level that speak against each other are both read, and judged.
func (w *walk) descend() {
	for len(w.queue) > 0 {
		w.writable, w.learned = w.writable.With(w.learned...), nil
		level := w.queue
		w.queue = nil
		for _, dir := range level {
			if w.cut {
				return
			}
			w.directory(dir)
		}
	}
}

func (w *walk) root(path string) error {
	if path == "" { // an unset variable, most likely; not the working directory
		return fmt.Errorf("read manifests in %q: %w", path, fs.ErrNotExist)
	}
	found, err := resolve(path)
	if err == nil {
		err = w.mayRead(found)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read manifests in %s: %w", path, reasonOf(err))
	case found.info.IsDir():
		w.enqueue(found)
	default:
		found.given = true
		w.file(found)
	}
	return nil
}

// mayRead checks that a path given to Load can be read, and that no agent decides where it leads. Anything but a directory or a
// regular file is judged later.
func (w *walk) mayRead(p place) error {
	if by, writable := w.writable.Writable(p.trace); writable {
		return &safepath.Error{Path: p.path, Place: by}
	}
	o, err := safepath.Open(p.real)
	if err != nil {
		return err
	}
	defer o.Close()
	switch {
	case o.Info.IsDir():
		_, err = o.ReadDir()
	case o.Info.Mode().IsRegular():
		err = o.Readable()
	}
	return err
}

func (w *walk) enqueue(dir place) {
	if w.seen[dir.real] {
		return // reached before, or a loop
	}
	w.seen[dir.real] = true
	w.queue = append(w.queue, dir)
}

func (w *walk) directory(dir place) {
	if w.skip(dir) {
		return
	}
	if w.dirs++; w.dirs > maxDirectories || len(w.files) > maxFiles {
		w.cut = true
		w.unreachable(dir, fmt.Sprintf("the search ends here: there are more than %d directories or %d files", maxDirectories, maxFiles),
			"give bottled a directory of its own, and look for a symlink that leads out of it")
		return
	}
	if w.onDirectory != nil {
		w.onDirectory(dir)
	}
	entries, err := readDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // gone since its parent was listed
	case err != nil:
		w.unreachable(dir, "the directory can't be read: "+reasonOf(err).Error(), "give bottled the permission to read it, or move it away")
	}
	w.readIgnore(&dir, entries)
	for _, entry := range entries {
		w.entry(dir, entry)
	}
}

// readDir reads the directory that was judged, or none.
func readDir(dir place) ([]fs.DirEntry, error) {
	o, err := safepath.Open(dir.real)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if o.ID != dir.id {
		return nil, fs.ErrNotExist // replaced since: the next listing sees what is there now
	}
	return o.ReadDir()
}

func (w *walk) entry(dir place, entry fs.DirEntry) {
	name := entry.Name()
	kind := entry.Type()
	if isHidden(name) || (kind&(fs.ModeDir|fs.ModeSymlink) == 0 && !isManifestName(name)) {
		return
	}
	if isIgnored(dir.ignore, join(dir.path, name), entry.IsDir()) {
		w.ignored = append(w.ignored, ignoredPath{parse.Location{Path: join(dir.path, name), Abs: absolute(entryOf(dir, name))}})
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
		w.enqueue(found) // judged when its turn comes, by what is known then
	case isManifestName(name) && !w.skip(found):
		w.file(found)
	}
}

// skip notes a file or directory that is left unread, since an agent can write it.
func (w *walk) skip(at place) bool {
	by, writable := w.writable.Writable(at.trace)
	if writable {
		w.unread = append(w.unread, Unread{Path: at.path, Abs: absolute(at), Place: by})
	}
	return writable
}

func (w *walk) file(found place) {
	way := found.real
	if v1alpha1.IsMarkdown(found.path) {
		way += "\x00" + filepath.Base(found.path) // which is the bottle's name: two names are two bottles
	}
	if w.seen[way] {
		return
	}
	w.seen[way] = true
	w.add(fileOf(found))
}

func (w *walk) add(f file) {
	w.files = append(w.files, f)
	if w.onFile != nil {
		w.learned = append(w.learned, w.onFile(f)...)
	}
}

func fileOf(p place) file {
	return file{
		Location: parse.Location{Path: p.path, Abs: absolute(p)}, real: p.real, id: p.id, trace: p.trace,
		size: p.info.Size(), mod: p.info.ModTime(), mode: p.info.Mode(), changed: changeTime(p.info), given: p.given,
	}
}

func (w *walk) unreachable(at place, reason, fix string) {
	f := file{Location: parse.Location{Path: at.path, Abs: absolute(at)}, real: at.real, unreachable: scalar.Fault{Reason: reason, Fix: fix}}
	if info, err := os.Lstat(at.real); err == nil {
		f.mod, f.changed = info.ModTime(), changeTime(info)
	}
	w.add(f)
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

// isManifestName recognizes a manifest by its extension. What editors leave behind (foo.yaml~, #foo.yaml#,
// 4913) has another one, or a hidden name. Whether a Markdown file holds a bottle is only known when it is read.
func isManifestName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json", v1alpha1.Markdown: // in any case: a bottle is not removed by renaming dev.md to dev.MD
		return true
	}
	return false
}

// child resolves an entry of a directory.
func child(dir place, entry fs.DirEntry) (place, error) {
	found := entryOf(dir, entry.Name())
	target, err := resolve(found.real)
	target.path = found.path
	target.ignore = dir.ignore
	target.trace = union(dir.trace, target.trace) // the directory may have been reached through links
	return target, err
}

// union returns the locations of both traces, the end of the second one last.
func union(a, b []safepath.Location) []safepath.Location {
	var all []safepath.Location
	for _, l := range a {
		if !slices.Contains(b, l) {
			all = append(all, l)
		}
	}
	return append(all, b...)
}

// resolve follows a path to its end. Kubelet and git-sync replace symlinks and then remove what they
// pointed to, so that a path can be cut under one's feet: a second try goes the new way.
func resolve(path string) (place, error) {
	from, err := rooted(path) // the working directory's name may have symlinks in it, too
	if err != nil {
		return place{}, err
	}
	for range 3 {
		var o *safepath.Object
		if o, err = safepath.Open(from); err == nil {
			return place{path: path, real: o.Real, id: o.ID, trace: o.Trace, info: o.Info}, o.Close()
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

// reasonOf is an error without the path in it, which its message names already.
func reasonOf(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
