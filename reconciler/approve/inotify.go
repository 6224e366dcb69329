package approve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Watch watches all queues below the directory of queues, with a single inotify instance, since a user has few.
func Watch(queues string) (Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{notify: notify, queues: queues, changes: make(chan string), closed: make(chan struct{}), ended: make(chan struct{})}
	if err := notify.Add(filepath.Dir(queues)); err != nil { // it may be made later
		return nil, errors.Join(err, notify.Close())
	}
	if err := w.addAll(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	go w.forward()
	return w, nil
}

type watcher struct {
	notify  *fsnotify.Watcher
	queues  string
	changes chan string
	closed  chan struct{} // nobody receives changes any more
	ended   chan struct{}
}

func (w *watcher) Changes() <-chan string { return w.changes }

func (w *watcher) Close() error {
	close(w.closed)
	err := w.notify.Close()
	<-w.ended
	return err
}

// addAll watches the directory of queues and each queue in it.
func (w *watcher) addAll() error {
	if err := w.add(w.queues); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.queues)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := w.add(filepath.Join(w.queues, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// add watches a directory, if it is there.
func (w *watcher) add(dir string) error {
	if err := w.notify.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (w *watcher) forward() {
	defer close(w.ended)
	for {
		var bottle string
		select {
		case e, open := <-w.notify.Events:
			if !open {
				return
			}
			var relevant bool
			if bottle, relevant = w.changedBy(e); !relevant {
				continue
			}
		case _, open := <-w.notify.Errors: // events were lost: anything may have changed
			if !open {
				return
			}
		}
		select {
		case w.changes <- bottle:
		case <-w.closed:
			return
		}
	}
}

// changedBy returns the bottle whose queue an event is about; "" for any. Temporary files are not relevant, nor is what else is in the state
// directory.
func (w *watcher) changedBy(e fsnotify.Event) (bottle string, relevant bool) {
	switch dir := filepath.Dir(e.Name); {
	case e.Name == w.queues:
		return "", w.addAll() == nil // else the next listing finds what is new
	case dir == w.queues:
		return filepath.Base(e.Name), w.add(e.Name) == nil
	case filepath.Dir(dir) == w.queues:
		return filepath.Base(dir), !strings.HasPrefix(filepath.Base(e.Name), ".")
	}
	return "", false
}
