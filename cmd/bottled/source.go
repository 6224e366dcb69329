package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	_ "golang.org/x/crypto/x509roots/fallback" // for a repository over HTTPS, where the system has no roots: in a scratch image

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/gitsource"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/control"
	"github.com/bot-bottle/bottled/state/store"
)

// dirSource reads manifests from directories and files, and watches them.
type dirSource struct {
	*manifests.Watcher
	reader *rememberingReader
}

// Read reads the directories and files.
func (s dirSource) Read() (manifests.Snapshot, time.Duration, error) { return s.reader.read() }

// rememberingReader keeps in the state directory what agents could write.
type rememberingReader struct {
	manifests.Reader
	memory *store.PlaceMemory
}

func newReader(memory *store.PlaceMemory, paths ...string) *rememberingReader {
	return &rememberingReader{manifests.Reader{Paths: paths, Known: memory.Known()}, memory}
}

func (r *rememberingReader) read() (manifests.Snapshot, time.Duration, error) {
	snapshot, again, err := r.Read()
	if err == nil {
		err = r.memory.Save(snapshot.Writable)
	}
	return snapshot, again, err
}

// Refresh has nothing to do: what changes is noticed, and read anew in any case.
func (dirSource) Refresh(context.Context) {}

// Warnings say why changes are noticed late.
func (s dirSource) Warnings() []string { return s.Late() }

// Revision is none.
func (dirSource) Revision() (string, error) { return "", nil }

// watchDirs begins to watch manifests in directories and files.
func watchDirs(paths []string, writable safepath.Set, memory *store.PlaceMemory, log zerolog.Logger) (dirSource, error) {
	watcher, err := manifests.Watch(manifests.WatchOptions{Paths: paths, Writable: writable, Warn: func(err error) {
		log.Warn().Err(err).Msg("not every change of the manifests is noticed at once")
	}})
	return dirSource{watcher, newReader(memory, paths...)}, err
}

// gitFlags say where in which repository the manifests are.
type gitFlags struct {
	url, path, keys, token string
	interval               time.Duration
}

func (g *gitFlags) add(f *pflag.FlagSet) {
	f.StringVar(&g.url, "git", "", "`URL[#branch]` of a Git repository with the manifests, instead of directories")
	f.StringVar(&g.path, "path", "", "`directory` of the manifests in the Git repository")
	f.DurationVar(&g.interval, "git-interval", time.Minute, "how often the Git repository is asked for something new; less or more by a tenth")
	f.StringVar(&g.keys, "git-keys", "", "`file` of armored OpenPGP public keys; only commits signed by one of them are taken")
	f.StringVar(&g.token, "git-token-file", "", "`file` with the password or token for a Git repository over HTTPS")
}

// readFile reads a file that the operator named: a regular one of at most 1 MiB.
func readFile(path string) ([]byte, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return safepath.Set{}.ReadFile(abs, 1<<20)
}

// open prepares the checkout, which is kept in the state directory.
func (g *gitFlags) open(dir string) (*gitsource.Source, error) {
	options := gitsource.Options{URL: g.url, Dir: dir}
	if g.keys != "" {
		keys, err := readFile(g.keys)
		if err != nil {
			return nil, fmt.Errorf("--git-keys: %w", err)
		}
		options.Keys = keys
	}
	if g.token != "" {
		options.Token = func() (string, error) {
			token, err := readFile(g.token)
			return strings.TrimSpace(string(token)), err
		}
	}
	return gitsource.Open(options)
}

// gitSource reads manifests from a Git repository, which it asks for something new now and then.
type gitSource struct {
	repository *gitsource.Source
	path       string
	interval   time.Duration
	changes    chan struct{}
	secrets    *manifests.Watcher // watches the files besides the manifests only

	mu      sync.Mutex // held while the checkout changes or is read
	reader  *rememberingReader
	memory  *store.PlaceMemory
	pullErr error
}

func newGitSource(g gitFlags, dir string, memory *store.PlaceMemory, log zerolog.Logger) (*gitSource, error) {
	repository, err := g.open(dir)
	if err != nil {
		return nil, err
	}
	watcher, err := manifests.Watch(manifests.WatchOptions{Warn: func(err error) {
		log.Warn().Err(err).Msg("not every change of a token is noticed at once")
	}})
	if err != nil {
		return nil, err
	}
	return &gitSource{
		repository: repository, path: g.path, interval: g.interval, changes: make(chan struct{}, 1), secrets: watcher, memory: memory,
	}, nil
}

// pull asks for something new once.
func (s *gitSource) pull(ctx context.Context) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := s.repository.Pull(ctx)
	if ctx.Err() != nil {
		return false
	}
	changed = changed || fmt.Sprint(err) != fmt.Sprint(s.pullErr)
	s.pullErr = err
	return changed
}

// Refresh asks the repository for something new.
func (s *gitSource) Refresh(ctx context.Context) { s.pull(ctx) }

// follow pulls until ctx ends.
func (s *gitSource) follow(ctx context.Context) {
	for {
		if s.pull(ctx) {
			s.tell()
		}
		select {
		case <-ctx.Done():
			return
		case <-s.secrets.Changes():
			s.tell()
		case <-time.After(reconciler.Jitter(s.interval)):
		}
	}
}

func (s *gitSource) tell() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// Read reads the checkout.
func (s *gitSource) Read() (manifests.Snapshot, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.repository.Path(s.path)
	if err != nil {
		return manifests.Snapshot{}, 0, err
	}
	if s.reader == nil {
		s.reader = newReader(s.memory, dir)
	}
	return s.reader.read()
}

// Changes receives when Read may return something else.
func (s *gitSource) Changes() <-chan struct{} { return s.changes }

// Follow names the files besides the manifests.
func (s *gitSource) Follow(files []string, writable safepath.Set) { s.secrets.Follow(files, writable) }

// Warnings say why changes of tokens are noticed late.
func (s *gitSource) Warnings() []string { return s.secrets.Late() }

// Revision is the commit that is checked out, and why there is no newer one.
func (s *gitSource) Revision() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repository.Revision(), s.pullErr
}

var errOneSource = errors.New("name directories of manifests or, with --git, a repository: one of the two")

var _ control.Source = (*gitSource)(nil)
