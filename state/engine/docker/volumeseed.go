package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bot-bottle/bottled/state"
)

// prepareVolumes has the volumes of a container to be created belong to its user, and seeds the part of its home that is in them. It
// mounts each in a container of its own, which is never started and has no other mounts: what an agent left in a volume, such as a
// symbolic link, leads nowhere else.
func (e *Engine) prepareVolumes(ctx context.Context, c state.Container) error {
	var user *homeSeed // the same for all
	for _, v := range c.Volumes {
		if err := e.withVolume(ctx, c, v, func(id string) (err error) {
			if user == nil {
				if user, err = e.resolveHome(ctx, id, c); err != nil {
					return err
				}
			}
			return prepareVolume(ctx, *user, id, c, v)
		}); err != nil {
			return fmt.Errorf("volume %s: %w", v.Volume, err)
		}
	}
	return nil
}

// prepareVolume prepares one volume, which a container has mounted.
func prepareVolume(ctx context.Context, h homeSeed, id string, c state.Container, v state.VolumeMount) error {
	h.id, h.inVolume, h.made = id, true, map[string]bool{}
	if err := h.ownVolume(ctx, v.Target); err != nil {
		return err
	}
	return h.seed(ctx, slices.DeleteFunc(slices.Clone(c.HomeFiles()), func(f state.HomeFile) bool {
		return innermost(c, path.Join(h.dir, f.Path)) != v.Target
	}))
}

// withVolume calls do with a container that has one of c's volumes mounted, and nothing else. If bottled is killed before it removes this
// container, its labels tell the next pass that the bottle has no such component.
func (e *Engine) withVolume(ctx context.Context, c state.Container, v state.VolumeMount, do func(id string) error) (err error) {
	labels := maps.Clone(c.Labels)
	labels[state.LabelRole] = state.VolumeRole
	holder := state.Container{
		Name: v.Volume + "-" + strings.ToLower(rand.Text()[:8]), Image: c.Image, Entrypoint: c.Entrypoint, Command: c.Command, Env: c.Env, User: c.User,
		Labels: labels, Volumes: []state.VolumeMount{v}, Networks: []state.Attachment{{Network: "none"}}, Restart: "no", Log: state.Log{Driver: "none"},
	}
	config, host := toCreate(holder, nil)
	created, err := e.client.ContainerCreate(ctx, config, host, nil, nil, holder.Name)
	if err != nil {
		return wrap(err, "create container %s", holder.Name)
	}
	defer func() { err = errors.Join(err, e.RemoveContainer(context.WithoutCancel(ctx), created.ID)) }()
	return do(created.ID)
}

// innermost returns the target of the mount or volume that a path in the container is in; "" for none.
func innermost(c state.Container, name string) string {
	var targets []string
	for _, m := range c.Mounts {
		targets = append(targets, m.Target)
	}
	for _, v := range c.Volumes {
		targets = append(targets, v.Target)
	}
	targets = slices.DeleteFunc(targets, func(target string) bool { return !state.Within(name, target) })
	if len(targets) == 0 {
		return ""
	}
	return slices.MaxFunc(targets, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
}

// ownVolume gives an empty volume to the container's user if it belongs to root: Docker makes it so where the image has no such
// directory, and an agent that is not root could never write to it.
func (h *homeSeed) ownVolume(ctx context.Context, target string) error {
	if h.uid == 0 {
		return nil
	}
	top, empty, err := h.readTop(ctx, target)
	if err != nil || !empty {
		return err
	}
	users, err := h.files.userMapping(ctx)
	if err != nil {
		return err
	}
	if top.Uid != 0 && top.Uid != users.UID { // which of the two it is depends on the engine's version
		return nil
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(target, "/") + "/", Mode: top.Mode, Uid: h.uid, Gid: h.gid}
	if err := errors.Join(w.WriteHeader(header), w.Close()); err != nil {
		return err
	}
	return wrap(h.client.CopyToContainer(ctx, h.id, "/", &archive, container.CopyToContainerOptions{}), "give %s to the container's user", target)
}

// readTop returns the header of a directory, and whether nothing is in it.
func (h *homeSeed) readTop(ctx context.Context, dir string) (top *tar.Header, empty bool, err error) {
	archive, _, err := h.client.CopyFromContainer(ctx, h.id, dir+"/.")
	if err != nil {
		return nil, false, wrap(err, "read %s", dir)
	}
	defer archive.Close() // of which the rest is not read
	entries := tar.NewReader(archive)
	if top, err = entries.Next(); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", dir, err)
	}
	_, err = entries.Next()
	if errors.Is(err, io.EOF) {
		return top, true, nil
	}
	return top, false, err
}

// volumeTargets are the targets of the volumes among mounts.
func volumeTargets(mounts []mount.Mount) []string {
	var targets []string
	for _, m := range mounts {
		if m.Type == mount.TypeVolume {
			targets = append(targets, m.Target)
		}
	}
	return targets
}
