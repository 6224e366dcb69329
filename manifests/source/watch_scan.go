package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// Only directories are watched: a file's own watch would go with the file that another one replaces. They are those that Load
// reads, those around a path's end, and those in which a path or symlink leads on by a symlink or ends because something is
// missing. A directory is watched before it is read, and a name before it is looked up; so whatever comes later is an event.
// Plain directories further up, where others work (/tmp, a home), are not: who renames one is noticed by the next poll.

// scan is what was found by walking the paths: the files, to compare with the next scan, and the directories to watch.
type scan struct {
	files []file
	dirs  map[string]*directory // by their paths without symlinks
}

// directory is a directory that is watched, or should be.
type directory struct {
	info  fs.FileInfo     // which one was watched
	err   error           // why it is not
	tree  bool            // Load reads it
	whole bool            // it is followed itself: whatever is in it counts
	names map[string]bool // entries that a path leads through
}

// scan walks the paths and watches what has to be. A directory that was renamed has its watch under its old name until fsnotify
// has heard of it, so that it takes more than one attempt.
func (w *Watcher) scan() {
	w.open()
	for range maxAttempts {
		w.seen = w.walk()
		if w.notify == nil || w.tidy() {
			return
		}
	}
}

// walk makes a new scan, setting watches where there are none.
func (w *Watcher) walk() *scan {
	watched := w.watched()
	s := &scan{dirs: map[string]*directory{}}
	dirOf := func(path string) *directory {
		d := s.dirs[path]
		if d == nil {
			d = &directory{names: map[string]bool{}}
			s.dirs[path] = d
			d.info, d.err = w.set(path, watched[path])
		}
		return d
	}
	note := func(dir, name string) { dirOf(dir).names[name] = true }
	files, writable := w.others()
	walk := newWalk(writable)
	walk.onDirectory = func(dir place) { dirOf(dir.real).tree = true }
	walk.onLink = func(path string) { lead(path, note) }
	for _, path := range w.paths {
		lead(path, note)
		if err := walk.root(path); err != nil {
			walk.unreachable(place{path: path}, err.Error(), "")
		}
	}
	walk.descend()
	for _, path := range files {
		lead(path, note)
		if found, err := resolve(path); err == nil {
			walk.files = append(walk.files, fileOf(found))
			if found.info.IsDir() {
				dirOf(found.real).whole = true
			}
		} else {
			walk.unreachable(place{path: path}, err.Error(), "")
		}
	}
	s.files = walk.files
	return s
}

// others returns the files that are followed, and where nothing is. Follow replaces the slice and never changes it.
func (w *Watcher) others() ([]string, safepath.Set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files, w.writable
}

// watched are the directories that fsnotify watches. It drops those that were removed or renamed by itself.
func (w *Watcher) watched() map[string]bool {
	dirs := map[string]bool{}
	if w.notify != nil {
		for _, dir := range w.notify.WatchList() {
			dirs[dir] = true
		}
	}
	return dirs
}

// lead goes an absolute path as the kernel does, up to the first entry that is missing, and names the entries that may be
// replaced, with their directories. An entry is looked up after it was named.
func lead(path string, through func(dir, name string)) {
	const maxLinks = 255 // as many as filepath.EvalSymlinks follows
	dir, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0 && links <= maxLinks; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		at := filepath.Join(dir, name)
		if len(rest) > 0 && isDirectory(at) {
			dir = at
			continue
		}
		through(dir, name)
		target, err := os.Readlink(at)
		switch {
		case err != nil && !isDirectory(at):
			return
		case err != nil:
			dir = at
		default:
			links++
			if filepath.IsAbs(target) {
				dir = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// set has a directory watched, and says which one that is.
func (w *Watcher) set(dir string, watched bool) (fs.FileInfo, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if w.notify == nil {
		return info, nil
	}
	if watched {
		if w.isSame(dir, info) {
			return info, nil
		}
		_ = w.notify.Remove(dir) // another one is in its place; the kernel may have removed the watch already
	}
	return info, w.kernel.add(w.notify, dir)
}

// isSame reports whether a directory is the one that was seen there before.
func (w *Watcher) isSame(dir string, info fs.FileInfo) bool {
	if w.seen == nil || w.seen.dirs[dir] == nil || w.seen.dirs[dir].info == nil {
		return false
	}
	return os.SameFile(w.seen.dirs[dir].info, info)
}

// tidy removes the watches that are not needed any more, and reports whether all others are there.
func (w *Watcher) tidy() bool {
	for dir := range w.watched() {
		if w.seen.dirs[dir] == nil {
			_ = w.notify.Remove(dir) // the kernel may have been faster
		}
	}
	complete := true
	watched := w.watched()
	for path, d := range w.seen.dirs {
		if d.err != nil || watched[path] {
			continue
		}
		if info, err := os.Lstat(path); err == nil && os.SameFile(info, d.info) {
			d.err = errElsewhere
			complete = false
		}
	}
	return complete
}

// errElsewhere is for a directory that is mounted in two places: the kernel has one watch for both.
var errElsewhere = errors.New("it is watched by another path already")

// effect is what an event means for the watcher.
type effect int

const (
	nothing   effect = iota
	content          // what Load reads may have changed
	structure        // and so may what has to be watched
)

func (s *scan) judge(e fsnotify.Event) effect {
	path := filepath.Clean(e.Name)
	name := filepath.Base(path)
	dir := s.dirs[filepath.Dir(path)]
	switch {
	case s.dirs[path] != nil: // a directory that is watched
		return structure
	case dir == nil:
		return nothing
	case dir.names[name] && e.Op == fsnotify.Write:
		return content
	case dir.names[name]:
		return structure
	case dir.whole:
		return content
	case dir.tree && name == ignoreName:
		return structure
	case !dir.tree || isHidden(name):
		return nothing
	case e.Has(fsnotify.Create) && leadsOn(path):
		return structure
	case isManifestName(name):
		return content
	}
	return nothing
}

// leadsOn reports whether an entry is a directory or symlink.
func leadsOn(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&(fs.ModeDir|fs.ModeSymlink) != 0
}
