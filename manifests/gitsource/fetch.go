package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// origin is where commits come from: a server, or a local repository.
type origin interface {
	// references lists branches, tags and HEAD.
	references(ctx context.Context) (storer.ReferenceStorer, error)
	// fetch copies the tip of the branch that the repository's HEAD names.
	fetch(ctx context.Context, into repository, branch plumbing.ReferenceName) error
	// push makes a branch of the repository a branch there, without force.
	push(ctx context.Context, from repository, branch plumbing.ReferenceName) error
}

func (s *Source) origin(ctx context.Context, token string) (origin, error) {
	if s.address.endpoint.Protocol == "file" {
		return openLocal(s.address.endpoint.Path)
	}
	return newServer(ctx, s.address, token)
}

// tip returns the branch, or the default branch when none is named, with the commit at its tip.
func tip(refs storer.ReferenceStorer, branch string) (name string, commit plumbing.Hash, err error) {
	if branch == "" {
		head, err := refs.Reference(plumbing.HEAD)
		if err != nil || !head.Target().IsBranch() {
			return "", commit, fmt.Errorf("the server names no default branch: name one after a # of the URL; %s", branches(refs))
		}
		branch = head.Target().Short()
	}
	ref, err := storer.ResolveReference(refs, plumbing.NewBranchReferenceName(branch))
	if err == nil {
		return branch, ref.Hash(), nil
	}
	if _, err := refs.Reference(plumbing.NewTagReferenceName(branch)); err == nil {
		return "", commit, fmt.Errorf("%q is a tag, and only branches are followed; %s", branch, branches(refs))
	}
	return "", commit, fmt.Errorf("there is no branch %q; %s", branch, branches(refs))
}

// branches names some, for people.
func branches(refs storer.ReferenceStorer) string {
	all, err := refs.IterReferences()
	if err != nil {
		return "its branches can't be listed: " + err.Error()
	}
	var names []string
	err = all.ForEach(func(ref *plumbing.Reference) error {
		if ref.Name().IsBranch() {
			names = append(names, ref.Name().Short())
		}
		return nil
	})
	switch {
	case err != nil:
		return "its branches can't be listed: " + err.Error()
	case len(names) == 0:
		return "the repository has no branches"
	}
	slices.Sort(names)
	if more := len(names) - 10; more > 0 {
		names = append(names[:10], fmt.Sprintf("%d more", more))
	}
	return "its branches are " + strings.Join(names, ", ")
}

// server is a repository that go-git reaches over HTTP or SSH.
type server struct {
	url   string
	auth  transport.AuthMethod
	proxy transport.ProxyOptions
}

func (s server) references(ctx context.Context) (storer.ReferenceStorer, error) {
	remote := git.NewRemote(nil, &config.RemoteConfig{Name: remoteName, URLs: []string{s.url}})
	list, err := remote.ListContext(ctx, &git.ListOptions{Auth: s.auth, ProxyOptions: s.proxy})
	if err != nil {
		return nil, err
	}
	refs := memory.ReferenceStorage{}
	for _, ref := range list {
		refs[ref.Name()] = ref
	}
	return refs, nil
}

// fetch asks for one commit without its history. Nothing is offered as a base: the pack is whole, each fetch is like the first, and
// no state is shared with the server.
func (s server) fetch(ctx context.Context, into repository, branch plumbing.ReferenceName) error {
	remote := git.NewRemote(into, &config.RemoteConfig{Name: remoteName, URLs: []string{s.url}})
	return remote.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + branch + ":" + branch)},
		Depth:    1, Tags: git.NoTags, Auth: s.auth, ProxyOptions: s.proxy,
	})
}

// local is a repository on this machine. go-git would start git for it.
type local struct{ *git.Repository }

func openLocal(path string) (local, error) {
	r, err := git.PlainOpenWithOptions(path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		err = transport.ErrRepositoryNotFound
	}
	return local{r}, err
}

func (l local) references(context.Context) (storer.ReferenceStorer, error) {
	all, err := l.References()
	if err != nil {
		return nil, err
	}
	refs := memory.ReferenceStorage{}
	err = all.ForEach(refs.SetReference)
	if err == nil && refs[plumbing.HEAD] != nil && len(refs) == 1 {
		err = transport.ErrEmptyRemoteRepository
	}
	return refs, err
}

func (l local) fetch(ctx context.Context, into repository, branch plumbing.ReferenceName) error {
	ref, err := l.Reference(branch, true)
	if err != nil {
		return err
	}
	if err := l.copy(ref.Hash(), into); err != nil {
		return err
	}
	commit, err := object.GetCommit(into, ref.Hash())
	if err != nil {
		return err
	}
	if err := l.copyTree(ctx, commit.TreeHash, into); err != nil {
		return err
	}
	return into.SetReference(plumbing.NewHashReference(branch, ref.Hash()))
}

// copyTree skips directories that are missing, as go-git's walker does: that shows when the files are written.
func (l local) copyTree(ctx context.Context, hash plumbing.Hash, into repository) error {
	if err := l.copy(hash, into); err != nil {
		return err
	}
	tree, err := object.GetTree(l.Storer, hash)
	if err != nil {
		return err
	}
	seen := map[plumbing.Hash]bool{}
	walker := object.NewTreeWalker(tree, true, seen)
	defer walker.Close()
	walker.SkipPathValidation()
	for ctx.Err() == nil {
		_, e, err := walker.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && e.Mode != filemode.Submodule {
			err = l.copy(e.Hash, into)
		}
		if err != nil {
			return err
		}
		seen[e.Hash] = true
	}
	return ctx.Err()
}

// copy lets the repository name the object by its content, whatever it is called here.
func (l local) copy(hash plumbing.Hash, into repository) error {
	o, err := l.Storer.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return fmt.Errorf("object %s: %w", hash, err)
	}
	_, err = into.SetEncodedObject(o)
	return err
}
