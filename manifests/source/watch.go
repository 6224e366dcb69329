package source

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

const (
	// Debounce interval after the last event. Short, because a rename is atomic.
	quiet = 40 * time.Millisecond
	// After a write it takes longer: who writes in place may pause half-way.
	quietAfterWrite = 250 * time.Millisecond
	// The longest time that later events can postpone the signal of the first one.
	maxDelay = 2 * time.Second
	// Delay between the first event about a new directory and watching it. Many are often created at once.
	lookDelay = 5 * time.Millisecond
	// Polling interval while notifications are incomplete.
	pollEvery = 2 * time.Second
	// Nothing notifies of a mount, or of what another host does on a network file system.
	pollAlways = time.Minute
)

// WatchOptions say what is watched.
type WatchOptions struct {
	Paths []string // as given to Load; none: only what Follow names counts
	// Writable is what agents can write, as far as it is known; nothing in it is watched. Follow replaces it.
	Writable safepath.Set
	// Warn is called when changes are noticed late or not one by one, with the remedy; once per kind of warning, until the
	// problem is gone. It is called by the watcher's goroutine, which waits for it, and may be before Watch returns. It may be nil.
	Warn func(error)
}

// Watcher signals that what Load reads may have changed.
type Watcher struct {
	paths   []string // absolute
	warn    func(error)
	kernel  kernel
	changes chan struct{}

	followed chan struct{} // files has changed
	narrowed chan struct{} // writable has changed
	done     chan struct{} // closed by Close
	ended    chan struct{} // closed by the goroutine
	close    func()
	err      error // of the goroutine's end

	mu       sync.Mutex
	files    []string // outside the paths
	writable safepath.Set
	late     []string // see Late

	// What follows belongs to the goroutine.
	notify   *fsnotify.Watcher // nil while there is none
	unopened error             // why
	seen     *scan
	warned   map[string]bool // kinds of warnings
	news     debounce
	look     time.Time // when to look for new directories; zero: no reason to
	poll     time.Time
}

// kernel is the clock, and what can run out with the interval at which it is tried again. Tests replace it.
type kernel struct {
	now   func() time.Time
	open  func() (*fsnotify.Watcher, error)
	add   func(notify *fsnotify.Watcher, dir string) error
	retry time.Duration
}

var theKernel = kernel{now: time.Now, open: fsnotify.NewWatcher, add: (*fsnotify.Watcher).Add, retry: pollEvery}

// Watch begins to watch. A change after it returns is signalled, so what Load reads after Watch never stays out of date. Close ends it.
// The paths need not exist. The error is for paths that can never be loaded.
func Watch(o WatchOptions) (*Watcher, error) {
	return watch(o, theKernel)
}

func watch(o WatchOptions, k kernel) (*Watcher, error) {
	w, err := newWatcher(o, k)
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go w.run(ready)
	<-ready
	return w, nil
}

// newWatcher returns a watcher that does nothing yet.
func newWatcher(o WatchOptions, k kernel) (*Watcher, error) {
	paths, err := absolutePaths(o.Paths)
	if err != nil {
		return nil, fmt.Errorf("watch manifests: %w", err)
	}
	w := &Watcher{
		paths: paths, warn: o.Warn, kernel: k,
		changes: make(chan struct{}, 1), followed: make(chan struct{}, 1), narrowed: make(chan struct{}, 1),
		done: make(chan struct{}), ended: make(chan struct{}),
		warned: map[string]bool{}, writable: o.Writable,
	}
	w.close = sync.OnceFunc(func() { close(w.done) })
	return w, nil
}

func absolutePaths(paths []string) ([]string, error) {
	if slices.Contains(paths, "") {
		return nil, errors.New("a directory or file of manifests without a name")
	}
	var all []string
	for _, path := range paths {
		path, err := rooted(path)
		if err != nil {
			return nil, err
		}
		all = append(all, path)
	}
	return all, nil
}

// Changes receives after something changed; several changes may be one signal. It is never closed.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Follow replaces the files outside the paths whose changes count too, and the places that agents can write, whose changes do
// not count. The files have absolute paths and need not exist. Of a directory, everything that is in it counts, but nothing
// further below. When the files are others than before, that is reported as a change: one of them may have changed before it was
// followed.
func (w *Watcher) Follow(files []string, writable safepath.Set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.writable.Equal(writable) {
		w.writable = writable
		wake(w.narrowed)
	}
	if !slices.Equal(w.files, files) {
		w.files = slices.Clone(files)
		wake(w.followed)
	}
}

// Close ends the watching and returns when nothing of it is left.
func (w *Watcher) Close() error {
	w.close()
	<-w.ended
	return w.err
}

// wake sends to a channel of capacity one, unless that is full: then its receiver will look anyway.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *Watcher) run(ready chan<- struct{}) {
	defer close(w.ended)
	defer func() { w.err = w.drop() }()
	w.lookAround()
	close(ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(w.next().Sub(w.kernel.now()))
		events, errs := w.channels()
		select {
		case <-w.done:
			return
		case <-w.followed:
			w.note(structure, quiet)
		case <-w.narrowed:
			w.look = w.kernel.now() // no news: the reader knows
		case e := <-events:
			w.event(e)
		case err := <-errs:
			w.failed(err)
		case <-timer.C:
		}
		w.act(w.kernel.now())
	}
}

func (w *Watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.notify == nil {
		return nil, nil
	}
	return w.notify.Events, w.notify.Errors
}

// next is when something is to be done even if nothing happens.
func (w *Watcher) next() time.Time {
	at := w.poll
	for _, t := range []time.Time{w.look, w.news.due} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

func (w *Watcher) act(now time.Time) {
	switch {
	case reached(w.news.due, now):
		w.lookAround() // first: so whatever the reader doesn't see yet will be signalled
		w.news = debounce{}
		wake(w.changes)
	case reached(w.look, now):
		w.lookAround()
	case reached(w.poll, now):
		delete(w.warned, overflow)
		w.lookAround()
	}
}

func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func (w *Watcher) event(e fsnotify.Event) {
	wait := quiet
	if e.Has(fsnotify.Write) {
		wait = quietAfterWrite
	}
	w.note(w.seen.judge(e), wait)
}

// note records that something happened, to be signalled after the debounce interval.
func (w *Watcher) note(what effect, wait time.Duration) {
	if what == nothing {
		return
	}
	now := w.kernel.now()
	w.news.event(now, wait)
	if what == structure && w.look.IsZero() {
		w.look = now.Add(lookDelay)
	}
}

// failed deals with an error of the notifications, after which some may be lost.
func (w *Watcher) failed(err error) {
	switch {
	case errors.Is(err, fsnotify.ErrEventOverflow):
		w.warnOnce(overflow, fmt.Errorf("%w; everything is looked at again; to avoid it, raise sysctl fs.inotify.max_queued_events", err))
	case errors.Is(err, syscall.EINVAL): // fsnotify removed a watch together with the kernel
	default:
		w.warnOnce(broken, fmt.Errorf("%w; they are set up anew", err))
		_ = w.drop() // it is broken already
	}
	w.note(structure, quiet)
}

func (w *Watcher) drop() error {
	if w.notify == nil {
		return nil
	}
	err := w.notify.Close()
	w.notify = nil
	return err
}

// lookAround sets the watches, and finds out whether there is anything new that nothing notified of.
func (w *Watcher) lookAround() {
	before := w.seen
	w.look = time.Time{}
	w.scan()
	if before != nil && !same(before.files, w.seen.files) {
		w.note(content, quiet)
	}
	faults := w.faults()
	w.report(faults)
	every := pollAlways
	if len(faults) > 0 {
		every = w.kernel.retry
	}
	w.poll = w.kernel.now().Add(every)
}

// debounce makes one of many events. The zero value has none.
type debounce struct {
	first, due time.Time
}

// event postpones the signal until nothing has happened for a while, but not forever.
func (d *debounce) event(now time.Time, wait time.Duration) {
	if d.first.IsZero() {
		d.first = now
	}
	if due := now.Add(wait); due.After(d.due) {
		d.due = due
	}
	if last := d.first.Add(maxDelay); d.due.After(last) {
		d.due = last
	}
}
