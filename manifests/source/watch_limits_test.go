package source

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
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
	w.expectOne("filling", root, func() {
		must(t, os.MkdirAll(root+"/p/q", 0o755))
		time.Sleep(quiet / 2)
		for i := range 8 {
			plant(t, fmt.Sprintf("%s/p/q/%d.yaml", root, i), bottle("x"))
			time.Sleep(2 * quiet)
		}
	}, func() { must(t, os.RemoveAll(root+"/p")) })
}

// TestWatchInjectedOverflow loses a watch that only looking again brings back.
func TestWatchInjectedOverflow(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	must(t, w.notify.Remove(root+"/s"))
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expectNothing("without a watch")
	for range 2 {
		w.notify.Errors <- fsnotify.ErrEventOverflow
		w.expect("overflow")
		w.expectWarnings("fs.inotify.max_queued_events")
	}
	plant(t, root+"/s/a.yaml", version("a", "3"))
	w.expect("in what is watched again")
}

// TestWatchOverflow makes the kernel lose events, by keeping the watcher from taking them.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var limit int
	_, err = fmt.Sscan(string(text), &limit)
	must(t, err)
	root := grow(t, map[string]string{"a.yaml": bottle("a")})
	w := startWatching(t, root)
	w.Watcher.mu.Lock() // which a look waits for
	plant(t, root+"/a.yaml", version("a", "2"))
	time.Sleep(quietAfterWrite + 5*silence) // until it waits, also on a busy machine
	for i := range limit/2 + 4096 {         // two events each; fsnotify takes some out of the queue
		path := fmt.Sprintf("%s/x%d", root, i%2)
		must(t, os.Mkdir(path, 0o755), os.Remove(path))
	}
	plant(t, root+"/new/b.yaml", bottle("b"))
	w.Watcher.mu.Unlock()
	w.expect("overflow")
	w.expectWarnings("fs.inotify.max_queued_events")
	plant(t, root+"/new/b.yaml", version("b", "2"))
	w.expect("in the directory whose event was lost")
}

// TestWatchBroken has an error that no one knows: the notifications are set up anew.
func TestWatchBroken(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	first := w.notify
	first.Errors <- syscall.EINVAL // fsnotify's, of no meaning
	w.expect("nothing is known after an error")
	w.expectWarnings()
	first.Errors <- syscall.EIO
	w.expect("nothing is known after an error")
	w.expectWarnings("input/output error; they are set up anew")
	if first.WatchList() != nil {
		t.Error("the broken notifications are open")
	}
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expect("edited")
}

const retry = 100 * time.Millisecond

// short is a kernel that refuses while it is told to.
type short struct {
	open, add atomic.Pointer[syscall.Errno]
	calls     atomic.Int64
}

func (s *short) kernel() kernel {
	return kernel{
		open: func() (*fsnotify.Watcher, error) {
			s.calls.Add(1)
			if errno := s.open.Load(); errno != nil {
				return nil, *errno
			}
			return fsnotify.NewWatcher()
		},
		add: func(n *fsnotify.Watcher, dir string) error {
			s.calls.Add(1)
			if errno := s.add.Load(); errno != nil {
				return *errno
			}
			return n.Add(dir)
		},
		retry: retry,
	}
}

func errno(e syscall.Errno) *syscall.Errno { return &e }

// TestWatchWithout has no notifications, and later some.
func TestWatchWithout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse func(*short)
		allow  func(*short)
		warn   string
	}{
		"no instance": {func(s *short) { s.open.Store(errno(syscall.EMFILE)) }, func(s *short) { s.open.Store(nil) }, "fs.inotify.max_user_instances"},
		"no watches":  {func(s *short) { s.add.Store(errno(syscall.ENOSPC)) }, func(s *short) { s.add.Store(nil) }, "fs.inotify.max_user_watches"},
		"forbidden":   {func(s *short) { s.add.Store(errno(syscall.EACCES)) }, func(s *short) { s.add.Store(nil) }, "give bottled the permission"},
		"unheard of":  {func(s *short) { s.add.Store(errno(syscall.ENOMEM)) }, func(s *short) { s.add.Store(nil) }, "another path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "token": "1"})
			var s short
			c.refuse(&s)
			w := startWatchingWith(t, s.kernel(), root+"/r")
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
			time.Sleep(retry + silence)
			calls := s.calls.Load()
			plant(t, root+"/r/s/a.yaml", version("a", "3"))
			w.expect("edited when all is well again")
			if more := s.calls.Load() - calls; more != 0 {
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
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	var s short
	w := startWatchingWith(t, s.kernel(), root+"/r")
	for range 2 { // well in between: warned again
		s.add.Store(errno(syscall.ENOSPC))
		plant(t, root+"/r/s/b.yaml", bottle("b"))
		w.expect("a new directory")
		plant(t, root+"/r/s/b.yaml", version("b", "2"))
		w.expect("edited where nothing notifies")
		must(t, os.Mkdir(root+"/r/t", 0o755))
		w.expect("another directory")
		s.add.Store(nil)
		must(t, os.RemoveAll(root+"/r/s"), os.Remove(root+"/r/t"))
		w.expect("the new directories are gone")
	}
	w.expectWarnings("directory "+root+"/r/s: no space left on device; raise sysctl fs.inotify.max_user_watches", "max_user_watches")
}

// TestWatchUnreadable has a directory below the path that can't be read: Load tells that, and there is nothing to be missed.
func TestWatchUnreadable(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/s/b.yaml": bottle("b")})
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm() == 0 {
			return syscall.EACCES
		}
		return n.Add(dir)
	}
	w := startWatchingWith(t, k, root+"/r")
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
	w := standing(t, k, root+"/r")
	if left := time.Until(w.poll); left > pollEvery {
		t.Errorf("the next look is in %s, though nothing is watched", left)
	}
	if w.lookAround(); !w.news.due.IsZero() {
		t.Error("nothing happened, and that was news")
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	w.act(w.poll)
	if w.news.due.IsZero() {
		t.Error("a change was not noticed")
	}
}

// TestWatchTellsOnce looks, a minute after a change was told, whether there is anything new.
func TestWatchTellsOnce(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	w := standing(t, theKernel, root+"/r")
	if left := time.Until(w.poll); left < pollAlways/2 {
		t.Errorf("the next look is in %s", left)
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	w.event(<-w.notify.Events)
	w.act(w.news.due)
	if len(w.changes) != 1 || !w.news.due.IsZero() {
		t.Error("not told")
	}
	if w.act(w.poll); !w.news.due.IsZero() {
		t.Error("told, and still news")
	}
}

// TestWatchMountedOver has another directory in the place of one without an event, as a mount does.
func TestWatchMountedOver(t *testing.T) {
	root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "o/x": "x"})
	var added []string
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		added = append(added, dir)
		return n.Add(dir)
	}
	w := standing(t, k, root+"/r")
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
	if e := <-w.notify.Events; e.Name != root+"/r/s/a.yaml" {
		t.Error(e)
	}
}
