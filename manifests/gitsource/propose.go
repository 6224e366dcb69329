package gitsource

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// ErrMoved marks a change of a file that has another content in what is checked out.
var ErrMoved = errors.New("it has another content in the checkout")

// Change is a change of one file, for people to merge.
type Change struct {
	Branch        string // of its own
	File          string // absolute, in the checkout
	Before, After []byte
	Author        string // "Name <mail>"
	Message       string // subject, empty line, body
	Time          time.Time
}

// ParseAuthor checks the author of changes, "Name <mail>".
func ParseAuthor(author string) (name, address string, err error) {
	a, err := mail.ParseAddress(author)
	if err != nil || a.Name == "" {
		return "", "", fmt.Errorf("%q is no author: write Name <mail@example.com>", author)
	}
	return a.Name, a.Address, nil
}

// Propose makes a change the only commit of its branch, on top of what is checked out. The checkout stays as it is, and so does the server. The
// branch is kept until another revision is checked out. It returns the commit and, for git am, its patch. Two equal changes of one revision are
// one commit.
func (s *Source) Propose(c Change) (commit, patch string, err error) {
	s.pulling.Lock()
	defer s.pulling.Unlock()
	if s.Revision() == "" {
		return "", "", fmt.Errorf("nothing of %s is checked out", s)
	}
	name, address, err := ParseAuthor(c.Author)
	if err != nil {
		return "", "", err
	}
	objects := openRepository(s.path(repositoryName))
	base, err := object.GetCommit(objects, s.current.commit)
	if err != nil {
		return "", "", fmt.Errorf("commit %s: %w", s.current.commit, err)
	}
	path, err := filepath.Rel(s.path(treeName), c.File)
	if err != nil || !filepath.IsLocal(path) {
		return "", "", fmt.Errorf("%s is not in the checkout of %s", c.File, s)
	}
	tree, err := objects.withFile(base.TreeHash, strings.Split(filepath.ToSlash(path), "/"), c)
	if err != nil {
		return "", "", fmt.Errorf("%s in %s: %w", path, s.current, err)
	}
	who := object.Signature{Name: name, Email: address, When: c.Time.UTC().Truncate(time.Second)}
	made := &object.Commit{Author: who, Committer: who, Message: c.Message, TreeHash: tree, ParentHashes: []plumbing.Hash{base.Hash}}
	hash, err := objects.store(made)
	if err == nil {
		err = objects.SetReference(plumbing.NewHashReference(plumbing.NewBranchReferenceName(c.Branch), hash))
	}
	if err != nil {
		return "", "", fmt.Errorf("commit the change of %s: %w", path, err)
	}
	patch, err = objects.patch(base.TreeHash, tree, hash, made)
	return hash.String(), patch, err
}

// withFile returns a tree with another content of the file at a path.
func (r repository) withFile(hash plumbing.Hash, path []string, c Change) (plumbing.Hash, error) {
	tree, err := object.GetTree(r, hash)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	i := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == path[0] })
	if i < 0 {
		return plumbing.ZeroHash, fmt.Errorf("%w: it is not there", ErrMoved)
	}
	e := &tree.Entries[i]
	switch {
	case len(path) > 1 && e.Mode == filemode.Dir:
		e.Hash, err = r.withFile(e.Hash, path[1:], c)
	case len(path) == 1 && (e.Mode.IsRegular() || e.Mode == filemode.Executable):
		e.Hash, err = r.withContent(e.Hash, c)
	default:
		err = errors.New("it is no regular file of the repository itself; make the change where it is")
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return r.store(tree)
}

// withContent stores a file's new content, if it has the old one.
func (r repository) withContent(hash plumbing.Hash, c Change) (plumbing.Hash, error) {
	if hash != plumbing.ComputeHash(plumbing.BlobObject, c.Before) {
		return plumbing.ZeroHash, ErrMoved
	}
	blob := r.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	w, err := blob.Writer()
	if err == nil {
		_, err = w.Write(c.After)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return r.SetEncodedObject(blob)
}

// store stores a tree or a commit.
func (r repository) store(o interface {
	Encode(o plumbing.EncodedObject) error
},
) (plumbing.Hash, error) {
	encoded := r.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return r.SetEncodedObject(encoded)
}

// patch returns a commit as git format-patch writes it.
func (r repository) patch(before, after, hash plumbing.Hash, c *object.Commit) (string, error) {
	from, err := object.GetTree(r, before)
	if err != nil {
		return "", err
	}
	to, err := object.GetTree(r, after)
	if err != nil {
		return "", err
	}
	diff, err := from.Patch(to)
	if err != nil {
		return "", err
	}
	subject, body, _ := strings.Cut(c.Message, "\n")
	return fmt.Sprintf("From %s Mon Sep 17 00:00:00 2001\nFrom: %s <%s>\nDate: %s\nSubject: [PATCH] %s\n\n%s---\n\n%s-- \nbottled\n",
		hash, c.Author.Name, c.Author.Email, c.Author.When.Format(time.RFC1123Z), subject, strings.TrimLeft(body, "\n"), diff), nil
}

// Push pushes a proposed branch. It never forces; the branch that is followed is not pushed. A branch that the server has already, with the same
// commit, is as good as a pushed one.
func (s *Source) Push(ctx context.Context, branch string) error {
	s.pulling.Lock()
	defer s.pulling.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	token, err := s.readToken()
	if err == nil {
		err = s.push(ctx, token, plumbing.NewBranchReferenceName(branch))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transport.ErrAuthorizationFailed), errors.Is(err, transport.ErrAuthenticationRequired):
		return fmt.Errorf("push %s to %s: the server does not allow it with these credentials: give some that may push", branch, s)
	}
	return fmt.Errorf("push %s to %s: %s", branch, s, clean(s.reason(ctx, err, token), token))
}

func (s *Source) push(ctx context.Context, token string, branch plumbing.ReferenceName) error {
	if s.current == nil || branch == plumbing.NewBranchReferenceName(s.current.branch) {
		return errors.New("it is the branch that is followed")
	}
	to, err := s.origin(ctx, token)
	if err != nil {
		return err
	}
	return to.push(ctx, openRepository(s.path(repositoryName)), branch)
}

func (s server) push(ctx context.Context, from repository, branch plumbing.ReferenceName) error {
	remote := git.NewRemote(from, &config.RemoteConfig{Name: remoteName, URLs: []string{s.url}})
	var said remarks
	err := remote.PushContext(ctx, &git.PushOptions{
		RemoteName: remoteName, RefSpecs: []config.RefSpec{config.RefSpec(branch + ":" + branch)}, Auth: s.auth, ProxyOptions: s.proxy, Progress: &said,
	})
	switch {
	case errors.Is(err, git.NoErrAlreadyUpToDate):
		return nil
	case err != nil && len(said) > 0:
		return fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(string(said)), " "))
	}
	return err
}

// remarks are the beginning of what a server says beside its answer, such as the output of its hooks.
type remarks []byte

func (r *remarks) Write(text []byte) (int, error) {
	*r = append(*r, text[:min(len(text), maxReason-len(*r))]...)
	return len(text), nil
}

// push copies the branch's commit, whose parent is there.
func (l local) push(ctx context.Context, from repository, branch plumbing.ReferenceName) error {
	ref, err := from.Reference(branch)
	if err != nil {
		return err
	}
	there, err := l.Reference(branch, true)
	switch {
	case err == nil && there.Hash() == ref.Hash():
		return nil
	case err == nil:
		return errors.New("the branch is there already, with another commit")
	case !errors.Is(err, plumbing.ErrReferenceNotFound):
		return err
	}
	commit, err := object.GetCommit(from, ref.Hash())
	if err != nil {
		return err
	}
	if _, err := l.CommitObject(commit.ParentHashes[0]); err != nil {
		return fmt.Errorf("commit %s, which the change is made for: %w", commit.ParentHashes[0], err)
	}
	if err := l.take(ctx, from, commit.TreeHash); err != nil {
		return err
	}
	if err := l.takeObject(from, ref.Hash()); err != nil {
		return err
	}
	return l.Storer.CheckAndSetReference(ref, nil)
}

// take copies what a tree has and is not there yet.
func (l local) take(ctx context.Context, from repository, hash plumbing.Hash) error {
	if l.Storer.HasEncodedObject(hash) == nil {
		return nil
	}
	tree, err := object.GetTree(from, hash)
	if err != nil {
		return err
	}
	for _, e := range tree.Entries {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case e.Mode == filemode.Submodule || l.Storer.HasEncodedObject(e.Hash) == nil:
			continue
		case e.Mode == filemode.Dir:
			err = l.take(ctx, from, e.Hash)
		default:
			err = l.takeObject(from, e.Hash)
		}
		if err != nil {
			return err
		}
	}
	return l.takeObject(from, hash)
}

func (l local) takeObject(from repository, hash plumbing.Hash) error {
	o, err := from.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return fmt.Errorf("object %s: %w", hash, err)
	}
	_, err = l.Storer.SetEncodedObject(o)
	return err
}
