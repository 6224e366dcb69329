package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state/engine"
)

// copied is a file or directory that was copied to a container.
type copied struct {
	header  tar.Header
	content []byte
}

// CopyTo keeps an archive's entries with the container. The root and what was copied are its only directories.
func (e *Engine) CopyTo(ctx context.Context, id, name string, archive io.Reader) error {
	entries, err := readArchive(archive)
	if err != nil {
		return err
	}
	return e.write(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		at := path.Clean(name)
		into := c.isDir(at)
		if !into && !c.isDir(path.Dir(at)) {
			return fmt.Errorf("copy to %s: %w", name, engine.ErrNotFound)
		}
		if c.copies == nil {
			c.copies = map[string]copied{}
		}
		for _, entry := range entries {
			_, below, _ := strings.Cut(path.Clean(entry.header.Name), "/")
			to := path.Join(at, below)
			if into {
				to = path.Join(at, entry.header.Name)
			}
			c.copies[to] = entry
		}
		return nil
	})
}

func (c *container) isDir(name string) bool {
	return name == "/" || c.copies[name].header.Typeflag == tar.TypeDir
}

// CopyFrom returns what was copied to the container.
func (e *Engine) CopyFrom(ctx context.Context, id, name string) (io.ReadCloser, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := e.read(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		at := path.Clean(name)
		if _, there := c.copies[at]; !there {
			return fmt.Errorf("copy %s: %w", name, engine.ErrNotFound)
		}
		for _, file := range slices.Sorted(maps.Keys(c.copies)) {
			if file != at && !strings.HasPrefix(file, at+"/") {
				continue
			}
			header := c.copies[file].header
			header.Name = path.Base(at) + strings.TrimPrefix(file, at)
			if err := w.WriteHeader(&header); err != nil {
				return err
			}
			if _, err := w.Write(c.copies[file].content); err != nil {
				return err
			}
		}
		return w.Close()
	})
	return io.NopCloser(&archive), err
}

func readArchive(archive io.Reader) ([]copied, error) {
	var all []copied
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		all = append(all, copied{*header, content})
	}
}
