package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	_ "golang.org/x/crypto/x509roots/fallback" // for a repository over HTTPS, where the system has no roots: in a scratch image

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/gitsource"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state/store"
)

// GitOptions locate manifests in a Git repository.
type GitOptions struct {
	URL       string        // with #branch, or not; "" where the manifests are in no repository
	Path      string        // directory in the repository
	KeysFile  string        // of armored OpenPGP public keys; "" to take unsigned commits
	TokenFile string        // with the password or token over HTTPS
	Interval  time.Duration // between two pulls; less or more by a tenth
	// Author of the commits that approvals make, "Name <mail>"; "" for bottled at this host. Push has their branches pushed.
	Author string
	Push   bool
}

// readFile reads a file that the operator named: a regular one of at most 1 MiB.
func readFile(path string) ([]byte, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return safepath.Set{}.ReadFile(abs, 1<<20)
}

// open prepares the checkout in a directory.
func (g *GitOptions) open(dir string) (*gitsource.Source, error) {
	options := gitsource.Options{URL: g.URL, Dir: dir}
	if g.KeysFile != "" {
		keys, err := readFile(g.KeysFile)
		if err != nil {
			return nil, fmt.Errorf("--git-keys: %w", err)
		}
		options.Keys = keys
	}
	if g.TokenFile != "" {
		options.Token = func() (string, error) {
			token, err := readFile(g.TokenFile)
			return strings.TrimSpace(string(token)), err
		}
	}
	return gitsource.Open(options)
}

// gitSource reads manifests from a Git repository, which it polls.
type gitSource struct {
	repository *gitsource.Source
	path       string
	interval   time.Duration
	author     string
	push       bool
	changes    chan struct{}
	secrets    *source.Watcher // of the files outside of the manifests

	pulled func()        // ends the wait for the first pull
	first  chan struct{} // closed by it

	mu      sync.Mutex // held while the checkout changes or is read
	reader  *rememberingReader
	memory  *store.WritableMemory
	pullErr error
}

func newGitSource(g GitOptions, dir string, memory *store.WritableMemory, log zerolog.Logger) (*gitSource, error) {
	author := cmp.Or(g.Author, "bottled <bottled@"+hostname()+">")
	if _, _, err := gitsource.ParseAuthor(author); err != nil {
		return nil, fmt.Errorf("--git-author: %w", err)
	}
	repository, err := g.open(dir)
	if err != nil {
		return nil, err
	}
	watcher, err := source.Watch(source.WatchOptions{Warn: func(err error) {
		log.Warn().Err(err).Msg("not every change of a token is noticed at once")
	}})
	if err != nil {
		return nil, err
	}
	first := make(chan struct{})
	return &gitSource{
		repository: repository, path: g.Path, interval: g.Interval, author: author, push: g.Push, changes: make(chan struct{}, 1), secrets: watcher, memory: memory,
		first: first, pulled: sync.OnceFunc(func() { close(first) }),
	}, nil
}

// pull fetches once. It reports whether Read may return something else.
func (s *gitSource) pull(ctx context.Context) (changed bool) {
	defer s.pulled()
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

// Refresh pulls.
func (s *gitSource) Refresh(ctx context.Context) { s.pull(ctx) }

// follow pulls until ctx ends.
func (s *gitSource) follow(ctx context.Context) {
	for {
		if s.pull(ctx) {
			s.notify()
		}
		select {
		case <-ctx.Done():
			return
		case <-s.secrets.Changes():
			s.notify()
		case <-time.After(reconciler.Jitter(s.interval)):
		}
	}
}

func (s *gitSource) notify() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// Read reads the checkout. Without one it waits for the end of the first pull: that it is under way is no error.
func (s *gitSource) Read() (source.Snapshot, time.Duration, error) {
	if s.repository.Revision() == "" {
		<-s.first
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.repository.Path(s.path)
	switch {
	case err != nil && s.repository.Revision() == "" && s.pullErr != nil:
		return source.Snapshot{}, 0, s.pullErr
	case err != nil:
		return source.Snapshot{}, 0, err
	}
	if s.reader == nil {
		s.reader = newReader(s.memory, dir)
	}
	return s.reader.read()
}

// Changes receives when Read may return something else.
func (s *gitSource) Changes() <-chan struct{} { return s.changes }

// Follow watches files outside of the manifests.
func (s *gitSource) Follow(files []string, writable safepath.Set) { s.secrets.Follow(files, writable) }

// Warnings say why changes of tokens are noticed late.
func (s *gitSource) Warnings() []string { return s.secrets.Late() }

// Revision is the commit that is checked out, and the error of the last pull. Without a checkout that is the error of Read.
func (s *gitSource) Revision() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	revision := s.repository.Revision()
	if revision == "" {
		return "", nil
	}
	return revision, s.pullErr
}

// ReadWith returns the manifests as they would be read if a file of the checkout had another content.
func (s *gitSource) ReadWith(file string, content []byte) (source.Snapshot, error) {
	s.mu.Lock()
	reader := s.reader
	s.mu.Unlock()
	if reader == nil {
		return source.Snapshot{}, errors.New("nothing is checked out yet")
	}
	return reader.readWith(source.Overlay{Path: file, Content: content})
}

// Editable is nil for a file of the repository.
func (s *gitSource) Editable(file string, _ safepath.Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, err := s.repository.Path("")
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(root, file); err != nil || !filepath.IsLocal(inside) {
		return fmt.Errorf("%s is not in %s, whose changes are merged there; change it by hand", file, s.repository)
	}
	return nil
}

// Write fails: the checkout is a copy.
func (s *gitSource) Write(string, []byte, []byte, safepath.Set) error {
	return fmt.Errorf("the manifests are a checkout of %s; changes are merged there", s.repository)
}

// Propose makes a change the commit of a branch, and pushes that if it is configured.
func (s *gitSource) Propose(ctx context.Context, b approve.Branch) (approve.Proposed, error) {
	signed := b.Message + "Signed-off-by: " + s.signature(b.By) + "\n"
	_, patch, err := s.repository.Propose(gitsource.Change{
		Branch: b.Name, File: b.File, Before: b.Before, After: b.After, Author: s.author, Message: signed, Time: b.Time,
	})
	if errors.Is(err, gitsource.ErrMoved) {
		err = fmt.Errorf("%w: %w", edit.ErrChanged, err)
	}
	if err != nil {
		return approve.Proposed{}, err
	}
	made := approve.Proposed{Where: "the change waits to be merged into " + s.repository.String() + "; its branch " + b.Name + " is not pushed, and proposals show --patch prints it", Patch: patch}
	if !s.push {
		return made, nil
	}
	if err := s.repository.Push(ctx, b.Name); err != nil {
		return made, err
	}
	made.Where, made.Pushed = "branch "+b.Name+" waits to be merged into "+s.repository.String(), true
	return made, nil
}

// signature is somebody's name with an address, for a trailer.
func (s *gitSource) signature(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '\n' {
			return -1
		}
		return r
	}, name)
	return fmt.Sprintf("%s <%s@%s>", name, strings.ReplaceAll(name, " ", "-"), hostname())
}

// hostname is this host's name, for authors.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

var (
	_ manifests        = (*gitSource)(nil)
	_ approve.Proposer = (*gitSource)(nil)
)
