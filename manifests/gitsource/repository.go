package gitsource

import (
	"errors"
	"fmt"
	"os"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	remoteName  = "origin"
	largeObject = 8 << 20 // bytes; larger objects are streamed, not held in memory
)

// errNone means that there is no repository.
var errNone = errors.New("there is no repository")

// revision is a commit as the tip of a branch.
type revision struct {
	url, branch string
	commit      plumbing.Hash
}

// String is the revision as Flux writes it.
func (r revision) String() string {
	return r.branch + "@sha1:" + r.commit.String()
}

// repository is a bare repository with the objects of one commit, without its history. It is opened for one operation, so that its
// caches don't outlive that.
type repository struct{ *filesystem.Storage }

func openRepository(path string) repository {
	options := filesystem.Options{LargeObjectThreshold: largeObject}
	return repository{filesystem.NewStorageWithOptions(osfs.New(path), cache.NewObjectLRU(16*cache.MiByte), options)}
}

// createRepository makes an empty repository for a branch, replacing what an interrupted fetch left.
func createRepository(path, url, branch string) (repository, error) {
	if err := os.RemoveAll(path); err != nil {
		return repository{}, fmt.Errorf("remove what an earlier fetch left: %w", err)
	}
	r := openRepository(path)
	c := config.NewConfig()
	c.Core.IsBare = true
	c.Remotes[remoteName] = &config.RemoteConfig{Name: remoteName, URLs: []string{url}}
	head := plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName(branch))
	if err := errors.Join(r.Init(), r.SetReference(head), r.SetConfig(c)); err != nil {
		return repository{}, fmt.Errorf("create the repository: %w", err)
	}
	return r, nil
}

// revision returns what the repository was fetched for; errNone when there is no repository.
func (r repository) revision() (revision, error) {
	if _, err := r.Filesystem().Lstat("HEAD"); errors.Is(err, os.ErrNotExist) {
		return revision{}, errNone
	}
	head, err := storer.ResolveReference(r, plumbing.HEAD)
	if err != nil {
		return revision{}, fmt.Errorf("HEAD: %w", err)
	}
	c, err := r.Config()
	if err != nil {
		return revision{}, fmt.Errorf("its configuration: %w", err)
	}
	remote, found := c.Remotes[remoteName]
	if !found || !head.Name().IsBranch() {
		return revision{}, errors.New("its remote or branch is not configured")
	}
	return revision{url: remote.URLs[0], branch: head.Name().Short(), commit: head.Hash()}, nil
}
