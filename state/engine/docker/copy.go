package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// CopyFrom returns an archive of a file or directory (GET /containers/{id}/archive).
func (e *Engine) CopyFrom(ctx context.Context, id, name string) (io.ReadCloser, error) {
	archive, _, err := e.client.CopyFromContainer(ctx, id, name)
	return archive, wrap(err, "copy %s", name)
}

// CopyTo writes an archive (PUT /containers/{id}/archive).
func (e *Engine) CopyTo(ctx context.Context, id, name string, archive io.Reader) error {
	h, err := e.resolveHome(ctx, id, state.Container{})
	if err != nil {
		return err
	}
	dir, as := path.Split(path.Clean(name))
	stat, err := e.client.ContainerStatPath(ctx, id, name)
	switch {
	case err == nil && (stat.Mode.IsDir() || stat.LinkTarget != ""):
		dir, as = name, ""
	case err == nil, errdefs.IsNotFound(err) && !strings.HasSuffix(name, "/"):
	default:
		return wrap(err, "look for %s", name)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(rewrite(w, archive, as, h.uid, h.gid)) }()
	err = e.client.CopyToContainer(ctx, id, dir, r, container.CopyToContainerOptions{})
	_ = r.CloseWithError(err) // never fails; whoever still writes ends
	return wrap(err, "copy to %s", name)
}

// rewrite copies an archive, with another owner and, if as is not "", another name for the entry at its top.
func rewrite(to io.Writer, from io.Reader, as string, uid, gid int) error {
	r, w := tar.NewReader(from), tar.NewWriter(to)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		header.Uid, header.Gid, header.Uname, header.Gname = uid, gid, "", ""
		if as != "" {
			_, below, isBelow := strings.Cut(header.Name, "/")
			header.Name = as
			if isBelow {
				header.Name += "/" + below
			}
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil { //nolint:gosec // it was packed by this process
			return err
		}
	}
}

var _ engine.SessionRuntime = (*Engine)(nil)
