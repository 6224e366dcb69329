package sim

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/control"
)

// directory is a source of manifests that are files.
type directory struct {
	dir     string
	changes chan struct{}
	mu      sync.Mutex
	reader  source.Reader
}

// useFiles has the manifests be files, by name.
func (w *world) useFiles(dir string, manifests map[string]string) {
	w.t.Helper()
	w.files = &directory{dir: dir, changes: make(chan struct{}, 1), reader: source.Reader{Paths: []string{dir}}}
	for name, text := range manifests {
		w.files.save(w.t, name, text)
	}
}

// manifests returns the source of what is declared.
func (w *world) manifests() control.Source {
	if w.files != nil {
		return w.files
	}
	return w.source
}

func (d *directory) path(name string) string { return filepath.Join(d.dir, name) }

// save writes a file as a person with an editor does.
func (d *directory) save(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.notify()
}

// text is the manifest of bottle a.
func (d *directory) text(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(d.path("a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (d *directory) notify() {
	select {
	case d.changes <- struct{}{}:
	default:
	}
}

func (d *directory) Refresh(context.Context) {}

func (d *directory) Read() (source.Snapshot, time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reader.Read()
}

func (d *directory) Changes() <-chan struct{} { return d.changes }

func (d *directory) Follow([]string, safepath.Set) {}

func (d *directory) Warnings() []string { return nil }

func (d *directory) Revision() (string, error) { return "", nil }

func (d *directory) ReadWith(file string, content []byte) (source.Snapshot, error) {
	d.mu.Lock()
	known := d.reader.Known
	d.mu.Unlock()
	return source.LoadWith(known, source.Overlay{Path: file, Content: content}, d.dir)
}

func (d *directory) Editable(file string, agents safepath.Set) error { return edit.Check(file, agents) }

func (d *directory) Write(file string, before, after []byte, _ safepath.Set) error {
	now, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return edit.ErrChanged
	}
	return os.WriteFile(file, after, 0o600)
}
