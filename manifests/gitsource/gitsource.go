package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	defaultTimeout = time.Minute

	treeName       = "tree"
	repositoryName = "repository"
	nextSuffix     = ".new"
	asideSuffix    = ".old"
)

// Options are the branch to follow, and how.
type Options struct {
	// URL of the repository: https://, http://, ssh://, git@host:path, file:///… or a plain path, and after a # the
	// branch. Without one, the remote's default branch is followed, asked anew at each pull: the answer
	// comes with the list of branches anyway, and a default branch that was renamed is followed. Credentials in it are refused.
	URL string
	// Dir is where the checkout is kept; it is made when missing (mode 0700). One process uses it at a time.
	Dir string
	// Keys are armored OpenPGP public keys, one or more blocks. When they are not nil, only a commit signed by one of them is taken.
	Keys []byte
	// Token is the password for HTTP and HTTPS, with user "git". It is asked for at each pull, so it may change. Nil: none.
	// With http:// it goes over the network unencrypted.
	Token func() (string, error)
	// Timeout of one pull; 0 stands for one minute.
	Timeout time.Duration
}

// Source is a checkout that follows a branch. Its methods may be called from several goroutines, but don't read the files while a
// Pull runs: it replaces them.
type Source struct {
	address address
	dir     string
	keys    keyring
	token   func() (string, error)
	timeout time.Duration

	pulling sync.Mutex // held by Pull
	written string     // fingerprint of the tree as it was written
	refused *refusal   // the last tip that was refused, so that it is not fetched again and again

	mu      sync.RWMutex
	current *revision // what is in the repository, or nil
	whole   bool      // whether the tree shows exactly that
	lost    error     // why an earlier checkout can't be used
}

// Open checks the options and restores what an earlier process left in the directory, without network. When that is impossible,
// there is no Revision until the next Pull. The errors are bad options, and a directory that can't be used.
func Open(o Options) (*Source, error) {
	s, err := configure(o)
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err == nil {
		err = s.removeLeftovers()
	}
	if err != nil {
		return nil, fmt.Errorf("manifests from Git: %w", err)
	}
	s.resume()
	return s, nil
}

func configure(o Options) (*Source, error) {
	addr, err := parseAddress(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Token != nil && !addr.isHTTP() {
		return nil, fmt.Errorf("a token is for http:// and https:// only, and the URL is %s: leave the token out, or use HTTPS", addr)
	}
	keys, err := parseKeys(o.Keys)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("no directory is given for the checkout")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("the checkout's directory %s: %w", o.Dir, err)
	}
	timeout := o.Timeout
	switch {
	case timeout < 0:
		return nil, fmt.Errorf("the timeout of a pull is %s; it must be positive", timeout)
	case timeout == 0:
		timeout = defaultTimeout
	}
	return &Source{address: addr, dir: dir, keys: keys, token: o.Token, timeout: timeout}, nil
}

// resume restores the checkout of an earlier process. It is only a cache: when it is of another branch, not signed, or damaged, the
// next Pull makes a new one.
func (s *Source) resume() {
	earlier, err := openRepository(s.path(repositoryName)).revision()
	if err != nil {
		if !errors.Is(err, errNone) {
			s.lost = fmt.Errorf("the earlier checkout: %w", err)
		}
		return
	}
	if earlier.url != s.address.url || (s.address.branch != "" && earlier.branch != s.address.branch) {
		return
	}
	if err := s.restore(earlier); err != nil {
		s.lost = fmt.Errorf("the earlier checkout of %s: %w", earlier, err)
	}
}

// restore writes the tree anew from the repository. It is local and short, and so not interrupted.
func (s *Source) restore(r revision) error {
	objects := openRepository(s.path(repositoryName))
	if err := s.prepare(context.Background(), objects, r); err != nil {
		return err
	}
	if err := s.showTree(r); err != nil {
		return err
	}
	return s.removeLeftovers()
}

// Pull fetches the branch's tip, verifies it and checks it out. It reports whether the files changed: because of another revision, or
// because somebody had edited them, which is undone. On an error the checkout stays at the last good revision; edits are undone
// then, too.
func (s *Source) Pull(ctx context.Context) (changed bool, err error) {
	s.pulling.Lock()
	defer s.pulling.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	token, err := s.readToken()
	if err != nil {
		return false, s.explain(ctx, err, "")
	}
	if err := s.removeLeftovers(); err != nil {
		return false, s.explain(ctx, err, token)
	}
	undone, damage := s.undoEdits()
	moved, err := s.follow(ctx, token, damage != nil || s.current == nil)
	if err != nil {
		err = s.explain(ctx, errors.Join(err, damage), token)
	}
	return undone || moved, err
}

// undoEdits restores the tree when it is not as it was written. When that fails, objects may be damaged: fetching them again helps.
func (s *Source) undoEdits() (changed bool, err error) {
	if s.current == nil {
		return false, nil
	}
	if s.whole {
		now, err := fingerprint(s.path(treeName))
		if err == nil && now == s.written {
			return false, nil
		}
	}
	if err := s.restore(*s.current); err != nil {
		s.show(s.current, false)
		return false, fmt.Errorf("restore the checkout of %s: %w", s.current, err)
	}
	return true, nil
}

// follow moves the checkout to the branch's tip. With fresh, it fetches that even if it is the current revision.
func (s *Source) follow(ctx context.Context, token string, fresh bool) (moved bool, err error) {
	from, err := s.origin(ctx, token)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	refs, err := from.references(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the branches: %w", err)
	}
	next := revision{url: s.address.url}
	if next.branch, next.commit, err = tip(refs, s.address.branch); err != nil {
		return false, err
	}
	if !fresh && next == *s.current {
		return false, nil
	}
	if s.refused != nil && s.refused.commit == next.commit {
		return false, s.refused
	}
	objects, err := createRepository(s.path(repositoryName+nextSuffix), next.url, next.branch)
	if err != nil {
		return false, err
	}
	if err := from.fetch(ctx, objects, plumbing.NewBranchReferenceName(next.branch)); err != nil {
		return false, fmt.Errorf("fetch commit %s: %w", next.commit, err)
	}
	if next, err = objects.revision(); err != nil { // the branch may have moved meanwhile
		return false, err
	}
	if err := s.prepare(ctx, objects, next); err != nil {
		return false, err
	}
	return true, s.move(next)
}

// prepare verifies a commit and writes its files next to the tree.
func (s *Source) prepare(ctx context.Context, objects repository, r revision) error {
	commit, err := object.GetCommit(objects, r.commit)
	if err != nil {
		return fmt.Errorf("commit %s: %w", r.commit, err)
	}
	if err = s.keys.verify(commit); err == nil {
		err = writeTree(ctx, s.path(treeName+nextSuffix), objects, commit.TreeHash)
	}
	var refused *refusal
	if errors.As(err, &refused) {
		refused.describe(commit)
		s.refused = refused
		return refused
	}
	if err != nil {
		return fmt.Errorf("check out %s: %w", r, err)
	}
	return nil
}

// move takes over what was fetched and prepared. After a crash in between, Open restores the tree from the new repository.
func (s *Source) move(next revision) error {
	place := s.path(repositoryName)
	if err := replace(place+nextSuffix, place); err != nil {
		return err
	}
	if err := s.showTree(next); err != nil {
		s.show(&next, false)
		return err
	}
	return s.removeLeftovers()
}

// showTree takes over the tree that was prepared.
func (s *Source) showTree(r revision) error {
	tree := s.path(treeName)
	if err := replace(tree+nextSuffix, tree); err != nil {
		return err
	}
	var err error
	if s.written, err = fingerprint(tree); err != nil {
		return err
	}
	s.show(&r, true)
	return nil
}

func (s *Source) show(r *revision, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.whole = r, whole
	if whole {
		s.lost = nil
	}
}

// removeLeftovers removes what was replaced, what an interrupted pull left, and what earlier versions kept.
func (s *Source) removeLeftovers() error {
	for _, name := range []string{
		treeName + nextSuffix, repositoryName + nextSuffix, treeName + asideSuffix, repositoryName + asideSuffix,
		"incoming", "objects-a", "objects-b", "checkout.json",
	} {
		if err := removeAll(s.path(name)); err != nil {
			return fmt.Errorf("remove what is no longer used: %w", err)
		}
	}
	return nil
}

func (s *Source) path(name string) string {
	return filepath.Join(s.dir, name)
}

// Revision is what is checked out, like "main@sha1:" and 40 hexadecimal digits (as Flux writes it), or "" when nothing is.
func (s *Source) Revision() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.whole {
		return ""
	}
	return s.current.String()
}

// Path is the absolute path of a directory in the checkout; "" is its root. It refuses a path that leads out of the
// checkout, one that is not a directory, and any as long as nothing is checked out.
func (s *Source) Path(sub string) (string, error) {
	revision := s.Revision()
	if revision == "" {
		return "", fmt.Errorf("nothing of %s is checked out yet", s)
	}
	if sub == "" {
		sub = "."
	}
	if !filepath.IsLocal(sub) {
		return "", fmt.Errorf("%s is not a path inside the repository: give it relative to the repository's root, without .. and a leading /", sub)
	}
	path := s.path(treeName)
	root, err := os.OpenRoot(path)
	if err != nil {
		return "", fmt.Errorf("the checkout of %s: %w", s, err)
	}
	defer root.Close()
	info, err := root.Stat(sub) // refuses symlinks that lead out
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s has no directory %s at %s: check the path and the branch", s, sub, revision)
	case err != nil:
		return "", fmt.Errorf("the directory %s of %s: %w", sub, s, err)
	case !info.IsDir():
		return "", fmt.Errorf("%s is not a directory of %s at %s: give the directory it is in", sub, s, revision)
	}
	return filepath.Join(path, sub), nil
}

// String is the URL with the branch, for people.
func (s *Source) String() string {
	return s.address.String()
}
