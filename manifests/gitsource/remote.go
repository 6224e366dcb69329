package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// remote is one conversation with the server. It is led here rather than by go-git's Remote, which asks for the references
// twice, once for a listing and once for a fetch, and takes its HTTP client from a global variable.
type remote struct {
	session transport.UploadPackSession
	refs    *packp.AdvRefs
	local   storer.Storer // of a repository on this machine
}

// connect asks the server for its references.
func (s *Source) connect(ctx context.Context, token string) (*remote, error) {
	r := &remote{}
	session, err := r.open(ctx, s.address, token)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r.session = session
	if r.refs, err = session.AdvertisedReferencesContext(ctx); err != nil {
		r.close()
		return nil, fmt.Errorf("ask for the branches: %w", err)
	}
	return r, nil
}

func (r *remote) open(ctx context.Context, a address, token string) (transport.UploadPackSession, error) {
	endpoint := a.endpoint
	switch endpoint.Protocol {
	case "ssh":
		return openSSH(ctx, endpoint)
	case "file":
		return server.NewClient(r).NewUploadPackSession(&endpoint, nil)
	}
	if token == "" {
		return web.NewUploadPackSession(&endpoint, nil)
	}
	return web.NewUploadPackSession(&endpoint, &githttp.BasicAuth{Username: tokenUser, Password: token})
}

// Load opens a repository on this machine, for go-git's server in the process. go-git's own does not know work trees.
func (r *remote) Load(e *transport.Endpoint) (storer.Storer, error) {
	repository, err := git.PlainOpenWithOptions(e.Path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, transport.ErrRepositoryNotFound
	}
	if err != nil {
		return nil, err
	}
	r.local = repository.Storer
	return repository.Storer, nil
}

func (r *remote) close() {
	_ = r.session.Close() // everything that matters has been read
}

// tip is the branch with the commit at its tip.
func (r *remote) tip(branch string) (name, commit string, err error) {
	if branch == "" {
		if branch = r.defaultBranch(); branch == "" {
			return "", "", fmt.Errorf("the server names no default branch: name one after a # of the URL; %s", r.branches())
		}
	}
	h, found := r.refs.References["refs/heads/"+branch]
	if found {
		return branch, h.String(), nil
	}
	if _, tag := r.refs.References["refs/tags/"+branch]; tag {
		return "", "", fmt.Errorf("%q is a tag, and only branches are followed; %s", branch, r.branches())
	}
	return "", "", fmt.Errorf("there is no branch %q; %s", branch, r.branches())
}

// defaultBranch is what the remote's HEAD points to.
func (r *remote) defaultBranch() string {
	for _, symref := range r.refs.Capabilities.Get(capability.SymRef) {
		if branch, found := strings.CutPrefix(symref, "HEAD:refs/heads/"); found {
			return branch
		}
	}
	return ""
}

// branches lists some, for people.
func (r *remote) branches() string {
	var names []string
	for ref := range r.refs.References {
		if name, found := strings.CutPrefix(ref, "refs/heads/"); found {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "the repository has no branches"
	}
	slices.Sort(names)
	if more := len(names) - 10; more > 0 {
		names = append(names[:10], fmt.Sprintf("%d more", more))
	}
	return "its branches are " + strings.Join(names, ", ")
}

// fetch adds a commit and all that it needs to the store, which has the other commits already.
func (r *remote) fetch(ctx context.Context, objects *store, commit hash, haves []hash) (err error) {
	if err := objects.removeTemporary(); err != nil {
		return err
	}
	request := packp.NewUploadPackRequestFromCapabilities(r.refs.Capabilities)
	if r.refs.Capabilities.Supports(capability.NoProgress) {
		if err := request.Capabilities.Set(capability.NoProgress); err != nil {
			return err
		}
	}
	request.Wants = []hash{commit}
	request.Haves = r.common(haves)
	pack, err := await(ctx, func() (*packp.UploadPackResponse, error) { return r.session.UploadPack(ctx, request) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pack.Close()) }()
	return packfile.UpdateObjectStorage(objects, demultiplexed(request, pack))
}

// common leaves out what a local repository does not have: go-git's server takes that for an error.
func (r *remote) common(haves []hash) []hash {
	if r.local == nil {
		return haves
	}
	return slices.DeleteFunc(haves, func(h hash) bool { return r.local.HasEncodedObject(h) != nil })
}

func demultiplexed(request *packp.UploadPackRequest, pack io.Reader) io.Reader {
	switch {
	case request.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, pack)
	case request.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, pack)
	}
	return pack
}

// await calls what knows no context. When the context ends first, the call goes on in the background, and its result is closed.
func await[T io.Closer](ctx context.Context, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				_ = o.value.Close() // nobody waits for it
			}
		}()
		var none T
		return none, ctx.Err()
	}
}
