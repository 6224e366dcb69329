// Package gitsource keeps a checkout of one branch of a Git repository: manifests from Git, followed by polling.
//
// Who may push to the branch decides what runs: with Options.Keys, only commits are taken that one of these keys has signed.
// The branch's tip counts, also when it was moved back or its history was rewritten; so whoever controls the server may
// bring back an older commit that was signed.
//
// What is checked out is what the commit has, byte by byte. Submodules are not followed, Git LFS files stay pointers, and
// attributes (eol, filters) have no effect. A symlink that leads out of the checkout is refused. Repositories with SHA-256
// object names are not supported.
//
// HTTP and HTTPS take proxies from the environment (HTTPS_PROXY). When the server redirects to another origin (scheme, host,
// port), the token does not go along. SSH signs in with the keys of ssh-agent (SSH_AUTH_SOCK) as the URL's user, and knows
// servers by the files that SSH_KNOWN_HOSTS lists (with : between them) or else ~/.ssh/known_hosts and
// /etc/ssh/ssh_known_hosts; an unknown server is refused. A local repository is read in the process, without git.
//
// In Options.Dir there are:
//   - tree: the files. It is changed in place, so that its path and the directories that stay keep their identity.
//   - objects-a or objects-b: the objects, all of the branch's history.
//   - checkout.json: which commit the tree shows, and which objects are in use. It is replaced at once, and is what counts
//     after a crash: Open brings the tree back to it.
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
)

const defaultTimeout = time.Minute

// Options tell what to follow, and how.
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

// Source is a checkout that follows a branch. Its methods may be called from several goroutines, but whoever reads the
// files does so while no Pull runs: it changes them in place.
type Source struct {
	address address
	dir     string
	keys    keyring
	token   func() (string, error)
	timeout time.Duration

	pulling sync.Mutex // one Pull at a time
	tree    *worktree
	refused *refusal // the last tip that was refused, so that it is not fetched again and again

	mu      sync.RWMutex
	current *checkout // what the tree shows, or nil
	whole   bool      // whether it shows exactly that
	lost    error     // why an earlier checkout can't be used
}

// checkout is a commit with what its tree must have.
type checkout struct {
	record
	listing *listing
}

// Open checks the options and picks up what an earlier process left in the directory, without network: a tree that was
// left half changed is brought back to its commit. When that is impossible, there is no Revision until the next Pull. The
// errors are bad options, and a directory that can't be used.
func Open(o Options) (*Source, error) {
	s, err := configure(o)
	if err != nil {
		return nil, fmt.Errorf("manifests from Git: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("manifests from Git: the checkout's directory: %w", err)
	}
	s.tree = &worktree{dir: s.dir, known: map[string]known{}}
	if err := s.resume(); err != nil {
		return nil, fmt.Errorf("manifests from Git: %w", err)
	}
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

// resume picks up the checkout of an earlier process. It is only a cache: when it is of another branch, not signed, or
// damaged, the next Pull makes a new one.
func (s *Source) resume() error {
	rec, err := readRecord(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errRecord):
		s.lost = err
		return nil
	case err != nil:
		return fmt.Errorf("read the earlier checkout: %w", err)
	}
	if rec.URL != s.address.url || (s.address.branch != "" && rec.Branch != s.address.branch) {
		return nil
	}
	objects := openStore(s.dir, rec.Objects)
	files, err := s.accept(context.Background(), objects, rec.hash())
	if err != nil {
		s.lost = fmt.Errorf("the earlier checkout of %s: %w", rec, err)
		return nil
	}
	s.current = &checkout{rec, files}
	if _, err := s.repair(); err != nil {
		s.lost = err
	}
	return nil
}

// Pull fetches the branch's tip, verifies it and checks it out. It tells whether the files changed: by another revision, or
// because somebody had edited them, which is undone. On an error the checkout stays at the last good
// revision; edits are undone then, too.
func (s *Source) Pull(ctx context.Context) (changed bool, err error) {
	s.pulling.Lock()
	defer s.pulling.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	token, err := s.readToken()
	if err != nil {
		return false, s.explain(ctx, err, "")
	}

	undone, err := s.repair()
	if err != nil && !errors.Is(err, errDamaged) {
		return undone, s.explain(ctx, err, token)
	}
	fresh := err != nil || s.current == nil
	moved, err := s.follow(ctx, token, fresh)
	if errors.Is(err, errDamaged) && !fresh {
		moved, err = s.follow(ctx, token, true)
	}
	if err != nil {
		return undone, s.explain(ctx, err, token)
	}
	return undone || moved, nil
}

// repair brings the tree back to the current commit. It is local and short, and so not interrupted.
func (s *Source) repair() (changed bool, err error) {
	if s.current == nil {
		return false, nil
	}
	if err := removeOtherStores(s.dir, s.current.Objects); err != nil {
		return false, err
	}
	changed, err = s.tree.sync(context.Background(), s.current.listing, openStore(s.dir, s.current.Objects))
	if err != nil {
		err = fmt.Errorf("bring the checkout back to %s: %w", s.current, err)
	}
	s.show(s.current, err == nil)
	return changed, err
}

// follow moves the checkout to the branch's tip. With fresh, all objects are fetched anew, and the present ones stay until
// that is done.
func (s *Source) follow(ctx context.Context, token string, fresh bool) (moved bool, err error) {
	r, err := s.connect(ctx, token)
	if err != nil {
		return false, err
	}
	defer r.close()
	next := record{URL: s.address.url}
	if next.Branch, next.Commit, err = r.tip(s.address.branch); err != nil {
		return false, err
	}
	if !fresh && next.sameRevision(s.current.record) {
		return false, nil
	}
	if s.refused != nil && s.refused.commit == next.hash() {
		return false, s.refused
	}
	objects, err := s.objectsFor(fresh)
	if err != nil {
		return false, err
	}
	next.Objects = objects.name
	files, err := s.receive(ctx, r, objects, next)
	if err != nil {
		return false, err
	}
	return true, s.move(ctx, &checkout{next, files}, objects)
}

// objectsFor is the store into which to fetch. Each fetch adds a pack to it; when there are too many, it is time for a new one.
func (s *Source) objectsFor(fresh bool) (*store, error) {
	if s.current == nil {
		return createStore(s.dir, otherStore(""))
	}
	present := openStore(s.dir, s.current.Objects)
	crowded, err := present.crowded()
	if err != nil {
		return nil, err
	}
	if fresh || crowded {
		return createStore(s.dir, otherStore(s.current.Objects))
	}
	return present, nil
}

// receive fetches a commit unless it is here, and judges it.
func (s *Source) receive(ctx context.Context, r *remote, objects *store, next record) (*listing, error) {
	if objects.HasEncodedObject(next.hash()) != nil {
		var haves []hash
		if s.current != nil && objects.name == s.current.Objects {
			haves = objects.history(s.current.hash())
		}
		if err := r.fetch(ctx, objects, next.hash(), haves); err != nil {
			return nil, fmt.Errorf("fetch commit %s: %w", next.Commit, err)
		}
	}
	files, err := s.accept(ctx, objects, next.hash())
	var refused *refusal
	if errors.As(err, &refused) {
		s.refused = refused
	}
	return files, err
}

// move changes the tree to the next checkout, and back when that fails.
func (s *Source) move(ctx context.Context, next *checkout, objects *store) error {
	_, err := s.tree.sync(ctx, next.listing, objects)
	if err == nil {
		err = next.write(s.dir)
	}
	if err == nil {
		s.show(next, true)
		return nil
	}
	err = fmt.Errorf("check out %s: %w", next, err)
	if s.current == nil {
		return err
	}
	_, back := s.tree.sync(context.WithoutCancel(ctx), s.current.listing, openStore(s.dir, s.current.Objects))
	if back != nil {
		err = fmt.Errorf("%w; and bring the checkout back to %s: %w", err, s.current, back)
	}
	s.show(s.current, back == nil)
	return err
}

func (s *Source) show(c *checkout, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.whole = c, whole
	if whole {
		s.lost = nil
	}
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
	path := filepath.Join(s.dir, treeName)
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
