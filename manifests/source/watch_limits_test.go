package source

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// TestWatchSlowWriter makes a directory and fills it slowly: that is one change as well.
func TestWatchSlowWriter(t *testing.T) {
	root := grow(t, map[string]string{"a.yaml": bottle("a")})
	w := startWatching(t, root)
	must(t, os.MkdirAll(root+"/p/q", 0o755))
	signals := w.pass(quiet / 2)
	for i := range 8 {
		plant(t, fmt.Sprintf("%s/p/q/%d.yaml", root, i), bottle("x"))
		signals += w.pass(2 * quiet)
	}
	if signals += w.pass(enough); signals != 1 {
		t.Errorf("%d changes were signalled", signals)
	}
}

// TestWatchInjectedOverflow loses a watch that only looking again brings back.
func TestWatchInjectedOverflow(t *testing.T) {
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	must(t, w.notify.Remove(root+"/s"))
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expectNothing("without a watch")
	for range 2 {
		w.failed(fsnotify.ErrEventOverflow)
		w.expect("overflow")
		w.expectWarnings("fs.inotify.max_queued_events")
	}
	plant(t, root+"/s/a.yaml", version("a", "3"))
	w.expect("in what is watched again")
}

// TestWatchOverflow makes the kernel lose events, as the watcher does not take them.
func TestWatchOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var limit int
	_, err = fmt.Sscan(string(text), &limit)
	must(t, err)
	root := grow(t, map[string]string{"a.yaml": bottle("a"), "x0": "", "x1": ""})
	w := startWatching(t, root)
	for i := range limit + 4096 { // an event each, and no two that the kernel merges; fsnotify takes some out of the queue
		must(t, os.Chmod(fmt.Sprintf("%s/x%d", root, i%2), 0o600))
	}
	plant(t, root+"/new/b.yaml", bottle("b"))
	w.expect("overflow")
	w.expectWarnings("fs.inotify.max_queued_events")
	plant(t, root+"/new/b.yaml", version("b", "2"))
	w.expect("in the directory whose event was lost")
}

// TestWatchBroken has an error that no one knows: the notifications are set up anew.
func TestWatchBroken(t *testing.T) {
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	first := w.notify
	w.failed(syscall.EINVAL) // fsnotify's, of no meaning
	w.expect("nothing is known after an error")
	w.expectWarnings()
	w.failed(syscall.EIO)
	w.expect("nothing is known after an error")
	w.expectWarnings("input/output error; they are set up anew")
	if first.WatchList() != nil {
		t.Error("the broken notifications are open")
	}
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expect("edited")
}

const retry = 100 * time.Millisecond

// short is a kernel that refuses while an error is set.
type short struct {
	open, add error
	calls     int
}

func (s *short) kernel() kernel {
	return kernel{
		open: func() (*fsnotify.Watcher, error) {
			s.calls++
			if s.open != nil {
				return nil, s.open
			}
			return fsnotify.NewWatcher()
		},
		add: func(n *fsnotify.Watcher, dir string) error {
			s.calls++
			if s.add != nil {
				return s.add
			}
			return n.Add(dir)
		},
		retry: retry,
	}
}

// TestWatchWithout has no notifications, and later some.
func TestWatchWithout(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(*short)
		allow  func(*short)
		warn   string
	}{
		"no instance": {func(s *short) { s.open = syscall.EMFILE }, func(s *short) { s.open = nil }, "fs.inotify.max_user_instances"},
		"no watches":  {func(s *short) { s.add = syscall.ENOSPC }, func(s *short) { s.add = nil }, "fs.inotify.max_user_watches"},
		"forbidden":   {func(s *short) { s.add = syscall.EACCES }, func(s *short) { s.add = nil }, "give bottled the permission"},
		"unheard of":  {func(s *short) { s.add = syscall.ENOMEM }, func(s *short) { s.add = nil }, "another path"},
	} {
		t.Run(name, func(t *testing.T) {
			root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "token": "1"})
			var s short
			c.refuse(&s)
			w := startWatchingWith(t, s.kernel(), WatchOptions{Paths: []string{root + "/r"}})
			w.expect("the warning") // what was missed before it is not known
			w.expectWarnings(c.warn)
			if late := w.Late(); len(late) != 1 || !strings.Contains(late[0], c.warn) {
				t.Errorf("late for %q, want %q", late, c.warn)
			}
			w.expectNothing("nothing happens")
			plant(t, root+"/r/s/a.yaml", version("a", "2"))
			w.expect("edited")
			w.Follow([]string{root + "/token"}, safepath.Set{})
			w.expect("followed")
			plant(t, root+"/token", "22")
			w.expect("a followed file, edited")
			must(t, os.Rename(root+"/r", root+"/q"))
			w.expect("the directory is gone")
			must(t, os.Rename(root+"/q", root+"/r"))
			w.expect("the directory is back")
			w.expectWarnings(c.warn)
			c.allow(&s)
			w.pass(retry + enough)
			calls := s.calls
			plant(t, root+"/r/s/a.yaml", version("a", "3"))
			w.expect("edited when all is well again")
			if more := s.calls - calls; more != 0 {
				t.Errorf("%d calls: it is still trying", more)
			}
			if late := w.Late(); len(late) > 0 {
				t.Errorf("late for %q, and all is well", late)
			}
			w.expectWarnings(c.warn)
		})
	}
}

// TestWatchLimit reaches the limit when directories are added.
func TestWatchLimit(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	var s short
	w := startWatchingWith(t, s.kernel(), WatchOptions{Paths: []string{root + "/r"}})
	for range 2 { // well in between: warned again
		s.add = syscall.ENOSPC
		plant(t, root+"/r/s/b.yaml", bottle("b"))
		w.expect("a new directory")
		plant(t, root+"/r/s/b.yaml", version("b", "2"))
		w.expect("edited where nothing notifies")
		must(t, os.Mkdir(root+"/r/t", 0o755))
		w.expect("another directory")
		s.add = nil
		must(t, os.RemoveAll(root+"/r/s"), os.Remove(root+"/r/t"))
		w.expect("the new directories are gone")
	}
	w.expectWarnings("directory "+root+"/r/s: no space left on device; raise sysctl fs.inotify.max_user_watches", "max_user_watches")
}

// TestWatchUnreadable has an unreadable directory below the path: Load reports it, and there is nothing to miss.
func TestWatchUnreadable(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/s/b.yaml": bottle("b")})
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm() == 0 {
			return syscall.EACCES
		}
		return n.Add(dir)
	}
	w := startWatchingWith(t, k, WatchOptions{Paths: []string{root + "/r"}})
	must(t, os.Chmod(root+"/r/s", 0))
	w.expect("closed")
	must(t, os.Chmod(root+"/r/s", 0o700))
	w.expect("opened")
	plant(t, root+"/r/s/b.yaml", version("b", "2"))
	w.expect("edited")
	w.expectWarnings()
}

// TestWatchPolls looks for what nothing notified of.
func TestWatchPolls(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	k := theKernel
	k.add = func(*fsnotify.Watcher, string) error { return nil } // so that no notification comes
	w := startWatchingWith(t, k, WatchOptions{Paths: []string{root + "/r"}})
	w.expect("the warning")
	if signals := w.pass(2 * pollEvery); signals != 0 {
		t.Errorf("nothing happened, and %d changes were signalled", signals)
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	if signals := w.pass(pollEvery + enough); signals != 1 {
		t.Errorf("%d changes were signalled", signals)
	}
}

// TestWatchSignalsOnce expects no further signal a minute after a change was signalled.
func TestWatchSignalsOnce(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	w := startWatching(t, root+"/r")
	if left := w.poll.Sub(w.clock); left < pollAlways/2 {
		t.Errorf("the next look is in %s", left)
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	w.expect("a change")
	if signals := w.pass(2 * pollAlways); signals != 0 {
		t.Errorf("signalled, and again %d times", signals)
	}
}

// TestWatchMountedOver replaces a directory without an event, as a mount does.
func TestWatchMountedOver(t *testing.T) {
	root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "o/x": "x"})
	var added []string
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		added = append(added, dir)
		return n.Add(dir)
	}
	w := startWatchingWith(t, k, WatchOptions{Paths: []string{root + "/r"}})
	added = nil
	w.lookAround()
	if len(added) > 0 {
		t.Errorf("%q are watched already", added)
	}
	other, err := os.Lstat(root + "/o")
	must(t, err)
	w.seen.dirs[root+"/r/s"].info = other
	w.lookAround()
	if !slices.Equal(added, []string{root + "/r/s"}) {
		t.Errorf("watched anew: %q", added)
	}
	plant(t, root+"/r/s/a.yaml", version("a", "2"))
	w.expect("in what is watched anew")
}
