package service

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/control"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// manifests is a source that a controller reads and its desk writes.
type manifests interface {
	control.Source
	approve.Manifests
}

// openSource opens the source of a controller's manifests, and names it.
func (s *Service) openSource(ctx context.Context, o ControlOptions, settings state.Settings) (manifests, []string, error) {
	memory, err := store.OpenWritableMemory(settings)
	if err != nil {
		return nil, nil, err
	}
	if o.Git.URL == "" {
		// A path that does not exist is a slip at the start, and may be anything later.
		snapshot, err := load(memory.Known(), o.Paths)
		if err != nil {
			return nil, nil, err
		}
		source, err := watchDirs(o.Paths, snapshot.Writable, memory, s.Log)
		return source, o.Paths, err
	}
	source, err := newGitSource(o.Git, filepath.Join(settings.CheckoutDir(), state.Digest(o.Git.URL)), memory, s.Log)
	if err != nil {
		return nil, nil, exit.Usage(err)
	}
	go source.follow(ctx)
	return source, []string{source.repository.String()}, nil
}

// dirSource reads manifests from directories and files, and watches them.
type dirSource struct {
	*source.Watcher
	reader *rememberingReader
}

// Read reads the directories and files.
func (s dirSource) Read() (source.Snapshot, time.Duration, error) { return s.reader.read() }

// rememberingReader records in the state directory what agents can write.
type rememberingReader struct {
	mu sync.Mutex
	source.Reader
	memory *store.WritableMemory
}

func newReader(memory *store.WritableMemory, paths ...string) *rememberingReader {
	return &rememberingReader{Reader: source.Reader{Paths: paths, Known: memory.Known()}, memory: memory}
}

func (r *rememberingReader) read() (source.Snapshot, time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot, again, err := r.Read()
	if err == nil {
		err = r.memory.Save(snapshot.Writable)
	}
	return snapshot, again, err
}

// readWith returns the manifests as they would be read if a file had another content.
func (r *rememberingReader) readWith(overlay source.Overlay) (source.Snapshot, error) {
	r.mu.Lock()
	known := r.Known
	r.mu.Unlock()
	return source.LoadWith(known, overlay, r.Paths...)
}

// ReadWith returns the manifests as they would be read if a file had another content.
func (s dirSource) ReadWith(file string, content []byte) (source.Snapshot, error) {
	return s.reader.readWith(source.Overlay{Path: file, Content: content})
}

// Editable returns why a manifest can't be replaced.
func (dirSource) Editable(file string, agents safepath.Set) error { return edit.Check(file, agents) }

// Write replaces a manifest.
func (dirSource) Write(file string, before, after []byte, agents safepath.Set) error {
	return edit.Write(file, before, after, agents)
}

// Refresh has nothing to do: changes are noticed, and a resync reads everything.
func (dirSource) Refresh(context.Context) {}

// Warnings say why changes are noticed late.
func (s dirSource) Warnings() []string { return s.Late() }

// Revision is none: directories have no such thing.
func (dirSource) Revision() (string, error) { return "", nil }

// watchDirs begins to watch manifests in directories and files.
func watchDirs(paths []string, writable safepath.Set, memory *store.WritableMemory, log zerolog.Logger) (dirSource, error) {
	watcher, err := source.Watch(source.WatchOptions{Paths: paths, Writable: writable, Warn: func(err error) {
		log.Warn().Err(err).Msg("not every change of the manifests is noticed at once")
	}})
	return dirSource{watcher, newReader(memory, paths...)}, err
}
