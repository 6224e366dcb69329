package gitsource

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// Each fetch leaves a pack. With many of them every look-up takes longer, so then all is fetched anew as one.
	maxPacks = 200
	// What the server is told to be here already: enough to find common ground with a branch that was rewritten.
	maxHaves = 100
	// Objects larger than this are not held in memory as a whole.
	largeObject = 8 << 20
)

// errDamaged is that objects which should be in the store are not, or not as they should be. Fetching them anew helps.
var errDamaged = errors.New("objects of the repository are missing or damaged")

// store holds objects, and all that they refer to: the history is always fetched whole, so that a commit which is here
// may be named to the server as a base. Shallow clones don't fit that: with each fetch the commits whose parents are
// missing change, and go-git only adds to their list.
//
// It is opened for one pull, so that its caches don't outlive that.
type store struct {
	*filesystem.Storage
	name, path string
}

func isStore(name string) bool {
	return name == "objects-a" || name == "objects-b"
}

func otherStore(name string) string {
	if name == "objects-a" {
		return "objects-b"
	}
	return "objects-a"
}

func openStore(dir, name string) *store {
	path := filepath.Join(dir, name)
	options := filesystem.Options{LargeObjectThreshold: largeObject}
	return &store{filesystem.NewStorageWithOptions(osfs.New(path), cache.NewObjectLRU(16*cache.MiByte), options), name, path}
}

// createStore makes an empty store, in the place of what a broken-off fetch left.
func createStore(dir, name string) (*store, error) {
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		return nil, fmt.Errorf("remove what an earlier fetch left: %w", err)
	}
	s := openStore(dir, name)
	if err := s.Init(); err != nil {
		return nil, fmt.Errorf("make the directory for objects: %w", err)
	}
	return s, nil
}

func removeOtherStores(dir, name string) error {
	if err := os.RemoveAll(filepath.Join(dir, otherStore(name))); err != nil {
		return fmt.Errorf("remove objects that are no longer used: %w", err)
	}
	return nil
}

func (s *store) crowded() (bool, error) {
	packs, err := filepath.Glob(filepath.Join(s.path, "objects", "pack", "*.pack"))
	return len(packs) >= maxPacks, err
}

// removeTemporary removes what a fetch left that was broken off.
func (s *store) removeTemporary() error {
	files, err := filepath.Glob(filepath.Join(s.path, "objects", "pack", "tmp_*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// history is a commit and those before it, as far as needed.
func (s *store) history(of hash) []hash {
	var found []hash
	commit, err := object.GetCommit(s, of)
	if err != nil {
		return nil // then all is fetched
	}
	_ = object.NewCommitPreorderIter(commit, nil, nil).ForEach(func(c *object.Commit) error { // fewer are fine
		found = append(found, c.Hash)
		if len(found) == maxHaves {
			return storer.ErrStop
		}
		return nil
	})
	return found
}

// blob opens a file's content, with its size.
func (s *store) blob(h hash) (io.ReadCloser, int64, error) {
	encoded, err := s.EncodedObject(plumbing.BlobObject, h)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: file content %s: %w", errDamaged, h, err)
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: file content %s: %w", errDamaged, h, err)
	}
	return content{r, h}, encoded.Size(), nil
}

// content marks errors of reading as those of the store, other than those of writing elsewhere.
type content struct {
	io.ReadCloser
	hash hash
}

func (c content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: file content %s: %w", errDamaged, c.hash, err)
	}
	return n, err
}
