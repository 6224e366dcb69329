package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/moby/sys/user"

	"github.com/bot-bottle/bottled/state"
)

// maxHomeFile limits the size of a file that is read from the image, in bytes.
const maxHomeFile = 1 << 20

// homeSeed writes files into the home of a container's user, before the container's first start.
type homeSeed struct {
	*Engine
	id       string
	dir      string
	uid      int
	gid      int
	inMount  func(path string) bool // in a mount or volume
	inVolume bool                   // the files are in a volume, where an agent may have left something else in their places

	archive *tar.Writer
	made    map[string]bool   // directories in the archive
	written map[string][]byte // files in the archive
}

// seed writes home files of a container (PUT /containers/{id}/archive).
func (h *homeSeed) seed(ctx context.Context, all []state.HomeFile) error {
	if len(all) == 0 {
		return nil
	}
	var archive bytes.Buffer
	h.archive, h.written = tar.NewWriter(&archive), map[string][]byte{}
	for _, f := range all {
		err := h.addFile(ctx, f)
		if _, is := errors.AsType[inTheWayError](err); is && (h.inVolume || f.Optional) {
			continue // the agent must be able to start, and what it keeps is its own
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path.Join(h.dir, f.Path), err)
		}
	}
	if err := h.archive.Close(); err != nil {
		return err
	}
	return wrap(h.client.CopyToContainer(ctx, h.id, "/", &archive, container.CopyToContainerOptions{}), "put files into the home %s", h.dir)
}

// resolveHome finds the home and the IDs of a container's user like the runtime: from the environment, then the image's /etc/passwd.
func (e *Engine) resolveHome(ctx context.Context, id string, c state.Container) (*homeSeed, error) {
	created, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return nil, wrap(err, "inspect container")
	}
	h := &homeSeed{Engine: e, id: id, made: map[string]bool{}, inMount: func(path string) bool {
		return slices.ContainsFunc(created.Mounts, func(m container.MountPoint) bool { return state.Within(path, m.Destination) })
	}}
	passwd, err := h.readFile(ctx, "/etc/passwd")
	if err != nil {
		return nil, err
	}
	group, err := h.readFile(ctx, "/etc/group")
	if err != nil {
		return nil, err
	}
	who, err := user.GetExecUser(created.Config.User, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return nil, fmt.Errorf("user %q of image %s: %w", created.Config.User, c.Image, err)
	}
	h.dir, h.uid, h.gid = who.Home, who.Uid, who.Gid
	if given := envMap(created.Config.Env)["HOME"]; given != "" {
		h.dir = given
	}
	if !path.IsAbs(h.dir) {
		return nil, fmt.Errorf("the home %q of user %q is no absolute path: set HOME in the agent's env", h.dir, created.Config.User)
	}
	return h, nil
}

// addFile adds a file to the archive, with its missing parent directories.
func (h *homeSeed) addFile(ctx context.Context, f state.HomeFile) error {
	file := path.Join(h.dir, f.Path)
	content := []byte(f.Content)
	if f.Merge {
		there, written := h.written[file]
		if !written {
			var err error
			if there, err = h.readFile(ctx, file); err != nil {
				return err
			}
		}
		if len(bytes.TrimSpace(there)) > 0 {
			var err error
			if content, err = merge(f.Path, there, content); err != nil {
				return inTheWayError{err}
			}
		}
	}
	h.written[file] = content
	if err := h.addMissingDirs(ctx, path.Dir(file)); err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(file, "/"), Size: int64(len(content)), Mode: 0o600, Uid: h.uid, Gid: h.gid}
	if err := h.archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := h.archive.Write(content)
	return err
}

func (h *homeSeed) addMissingDirs(ctx context.Context, dir string) error {
	if dir == "/" || h.made[dir] {
		return nil
	}
	stat, err := h.client.ContainerStatPath(ctx, h.id, dir)
	if err == nil && h.inVolume && !stat.Mode.IsDir() {
		return inTheWayError{fmt.Errorf("%s is no directory", dir)}
	}
	if err == nil {
		return nil // what is there keeps its owner and mode
	}
	if !errdefs.IsNotFound(err) {
		return wrap(err, "look for %s", dir)
	}
	if err := h.addMissingDirs(ctx, path.Dir(dir)); err != nil {
		return err
	}
	h.made[dir] = true
	return h.archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755, Uid: h.uid, Gid: h.gid})
}

// inTheWayError is about something at the place of a home file, or above it, that the file can't be merged with or put into.
type inTheWayError struct{ error }

func (e inTheWayError) Unwrap() error { return e.error }

// maxLinks limits the symbolic links to follow for one path of an image.
const maxLinks = 8

// readFile returns the content of a file of the container; nil when it does not exist.
func (h *homeSeed) readFile(ctx context.Context, name string) ([]byte, error) {
	for range maxLinks {
		content, target, err := h.readEntry(ctx, name)
		if err != nil || target == "" {
			return content, err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return nil, inTheWayError{fmt.Errorf("%s: more than %d symbolic links follow each other in the image", name, maxLinks)}
}

// readEntry returns a file's content, or the target of a symbolic link.
func (h *homeSeed) readEntry(ctx context.Context, name string) (content []byte, target string, err error) {
	archive, stat, err := h.client.CopyFromContainer(ctx, h.id, name)
	if errdefs.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", wrap(err, "read %s", name)
	}
	defer archive.Close()
	if stat.LinkTarget != "" {
		return nil, stat.LinkTarget, nil
	}
	files := tar.NewReader(archive)
	header, err := files.Next()
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	if header.Typeflag != tar.TypeReg || header.Size > maxHomeFile {
		return nil, "", inTheWayError{fmt.Errorf("%s is no regular file of at most %d bytes in the image", name, maxHomeFile)}
	}
	content, err = io.ReadAll(files)
	return content, "", err
}
