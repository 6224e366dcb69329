package source

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// Kinds of warnings.
const (
	overflow    = "overflow"  // notifications were lost
	broken      = "broken"    // an error of the notifications that nobody expects
	noInstance  = "instance"  // there are no notifications at all
	noWatches   = "watches"   // the limit is reached
	unwatchable = "directory" // cannot be watched for a reason of its own
)

// open sets up the notifications where there are none.
func (w *Watcher) open() {
	if w.notify != nil {
		return
	}
	if w.notify, w.unopened = w.kernel.open(); w.unopened != nil {
		w.notify = nil
	}
}

// faults are the reasons for which a change may go unnoticed, by kind.
func (w *Watcher) faults() map[string]error {
	if w.unopened != nil {
		fix := "they are tried again"
		if errors.Is(w.unopened, syscall.EMFILE) || errors.Is(w.unopened, syscall.ENFILE) {
			fix = "raise sysctl fs.inotify.max_user_instances, or the limit of open files"
		}
		return map[string]error{noInstance: fmt.Errorf("%w; %s", w.unopened, fix)}
	}
	faults := map[string]error{}
	for _, path := range slices.Sorted(maps.Keys(w.seen.dirs)) {
		kind, fix := w.seen.dirs[path].fault()
		if kind != "" && faults[kind] == nil {
			faults[kind] = fmt.Errorf("directory %s: %w; %s", path, w.seen.dirs[path].err, fix)
		}
	}
	return faults
}

// fault says why a directory that is there cannot be watched, and what to do; "" when nothing will be missed.
func (d *directory) fault() (kind, fix string) {
	switch {
	case d.err == nil, errors.Is(d.err, fs.ErrNotExist), errors.Is(d.err, syscall.ENOTDIR): // gone since; that was an event
		return "", ""
	case errors.Is(d.err, syscall.ENOSPC):
		return noWatches, "raise sysctl fs.inotify.max_user_watches"
	case errors.Is(d.err, fs.ErrPermission) && d.tree && len(d.names) == 0:
		return "", "" // Load can't read it either and says so; new permissions are an event of the directory around it
	case errors.Is(d.err, fs.ErrPermission):
		return unwatchable, "give bottled the permission to read it"
	}
	return unwatchable, "give bottled another path to the manifests"
}

// report warns of new faults and forgets those that are gone.
func (w *Watcher) report(faults map[string]error) {
	var late []string
	for _, kind := range []string{broken, noInstance, noWatches, unwatchable} {
		if faults[kind] == nil {
			delete(w.warned, kind)
			continue
		}
		err := fmt.Errorf("not all changes are notified, they are looked for every %s: %w", w.kernel.retry, faults[kind])
		late = append(late, err.Error())
		w.warnOnce(kind, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = late
}

// Late says why changes are noticed late now, by looking for them, and what to do about it; nothing when each is notified. An agent
// that is root shares the limits of root's inotify with a controller that is.
func (w *Watcher) Late() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late
}

// warnOnce warns of a kind of fault unless that was done since it was well, and has everything read: what was missed is not known.
func (w *Watcher) warnOnce(kind string, err error) {
	if w.warned[kind] {
		return
	}
	w.warned[kind] = true
	w.note(content, quiet)
	if w.warn != nil {
		w.warn(fmt.Errorf("watch manifests: %w", err))
	}
}
