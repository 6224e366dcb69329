package queue

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// slowRescan catches what a watch may have missed.
	slowRescan = 5 * time.Second
	// fastRescan stands in for a watch that cannot be had: the engine's host limits how many a user has.
	fastRescan = time.Second
)

// watcher tells everyone who waits that the directory changed. All share one inotify instance, since a
// user has few; it is made when somebody waits for the first time.
type watcher struct {
	dir string

	mu      sync.Mutex
	tried   bool
	notify  *fsnotify.Watcher // nil: poll
	waiters map[chan struct{}]bool
}

// subscribe returns a channel that receives after every change, and a function that ends that.
func (w *watcher) subscribe() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.tried {
		w.tried = true
		w.waiters = map[chan struct{}]bool{}
		w.start()
	}
	c := make(chan struct{}, 1)
	w.waiters[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiters, c)
	}
}

func (w *watcher) start() {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return // rescan polls instead
	}
	if err := notify.Add(w.dir); err != nil {
		_ = notify.Close() // it watches nothing
		return
	}
	w.notify = notify
	go w.forward(notify)
}

func (w *watcher) forward(notify *fsnotify.Watcher) {
	for {
		select {
		case _, open := <-notify.Events:
			if !open {
				return
			}
		case _, open := <-notify.Errors: // events were lost: look
			if !open {
				return
			}
		}
		w.wakeAll()
	}
}

func (w *watcher) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.waiters {
		select {
		case c <- struct{}{}:
		default: // already told
		}
	}
}

func (w *watcher) rescan() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify == nil {
		return fastRescan
	}
	return slowRescan
}

func (w *watcher) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify == nil {
		return nil
	}
	return w.notify.Close()
}
