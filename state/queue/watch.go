package queue

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	slowRescan = 5 * time.Second // poll interval with a watch, which may miss changes
	fastRescan = time.Second     // poll interval without one: the host limits a user's inotify instances
)

// watcher notifies subscribers of changes of the directory. They share one inotify instance, since a user has few; it is made for the first
// subscriber.
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
		case _, open := <-notify.Errors: // events were lost: assume a change
			if !open {
				return
			}
		}
		w.notifyAll()
	}
}

func (w *watcher) notifyAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.waiters {
		select {
		case c <- struct{}{}:
		default: // a notification is pending
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
