package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/bot-bottle/bottled/cmd/bottled/service/transfer"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/store"
)

// CopyFrom copies a file or directory of a component to this host, at most limit bytes: into the directory local, or under that name.
func (s *Service) CopyFrom(ctx context.Context, from Target, name, local string, limit int64) (skipped []transfer.Skipped, err error) {
	dir, as, err := s.localPath(local, path.Base(path.Clean(name)))
	if err != nil {
		return nil, err
	}
	err = s.withContainer(ctx, from, func(e Engine, c engine.Summary) (err error) {
		archive, err := e.CopyFrom(ctx, c.ID, name)
		if err != nil {
			return missingPath(err, from, name)
		}
		defer func() { err = errors.Join(err, archive.Close()) }()
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, root.Close()) }()
		skipped, err = transfer.Extract(archive, root, as, limit)
		return err
	})
	return skipped, err
}

// CopyTo copies a file or directory of this host to a component: into the directory name, or under that name.
func (s *Service) CopyTo(ctx context.Context, local string, to Target, name string) (skipped []transfer.Skipped, err error) {
	if _, err := os.Stat(local); err != nil {
		return nil, err
	}
	if local, err = filepath.Abs(local); err != nil { // so that it has a name
		return nil, err
	}
	dir, as, err := s.localPath(filepath.Dir(local), filepath.Base(local))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	err = s.withContainer(ctx, to, func(e Engine, c engine.Summary) error {
		r, w := io.Pipe()
		packed := make(chan error, 1)
		go func() {
			var err error
			skipped, err = transfer.Pack(w, root, as)
			w.CloseWithError(err)
			packed <- err
		}()
		err := e.CopyTo(ctx, c.ID, name, r)
		_ = r.CloseWithError(io.ErrClosedPipe) // never fails; whoever still packs ends
		if packErr := <-packed; packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) {
			return packErr
		}
		if err != nil {
			return missingPath(err, to, path.Dir(name))
		}
		return nil
	})
	return skipped, err
}

// missingPath says plainly what an engine says in its own words.
func missingPath(err error, in Target, name string) error {
	if errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("%s has no %s", in.Component, name)
	}
	return err
}

// localPath splits a path of this host into a directory that exists and a name in it: the path's own or, where the path is a directory, the
// one given. It fails where an agent could lead it elsewhere, by a symbolic link in a directory that is mounted into its bottle.
func (s *Service) localPath(local, name string) (dir, as string, err error) {
	dir, as = local, name
	if info, err := os.Stat(local); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		dir, as = filepath.Dir(filepath.Clean(local)), filepath.Base(filepath.Clean(local))
	} else if err != nil {
		return "", "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return "", "", err
	}
	memory, err := store.OpenWritableMemory(settings)
	if err != nil {
		return "", "", err
	}
	trace, real, err := safepath.Trace(filepath.Join(dir, as))
	if err != nil {
		return "", "", err
	}
	if by, writable := memory.Known().Writable.Refresh().Writable(trace); writable {
		return "", "", fmt.Errorf("%s: %w: use another directory, or copy without bottled", local, &safepath.Error{Path: real, Place: by})
	}
	return dir, as, nil
}
