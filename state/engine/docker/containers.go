package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Containers lists the owner's containers: those of one bottle, or with slug "" all.
func (e *Engine) Containers(ctx context.Context, owner, slug string) ([]engine.Summary, error) {
	labels := filters.NewArgs(filters.Arg("label", state.LabelOwner+"="+owner))
	if slug != "" {
		labels.Add("label", state.LabelSlug+"="+slug)
	}
	list, err := e.client.ContainerList(ctx, container.ListOptions{All: true, Filters: labels})
	if err != nil {
		return nil, wrap(err, "list containers")
	}
	found := make([]engine.Summary, 0, len(list))
	for _, c := range list {
		found = append(found, fromSummary(c))
	}
	return found, nil
}

// Inspect returns all settings of a container, with the defaults of its image.
func (e *Engine) Inspect(ctx context.Context, id string) (engine.Detail, error) {
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return engine.Detail{}, wrap(err, "inspect container %s", id)
	}
	defaults, err := e.imageDefaults(ctx, c.Image)
	if errors.Is(err, engine.ErrNotFound) {
		// The image was removed while the container uses it: assume that what runs are the image's defaults.
		defaults = engine.ImageDefaults{Entrypoint: c.Config.Entrypoint, Command: c.Config.Cmd, Env: envMap(c.Config.Env), User: c.Config.User, WorkDir: c.Config.WorkingDir}
	} else if err != nil {
		return engine.Detail{}, err
	}
	return fromInspect(c, defaults, e.files.launcherPath()), nil
}

// ContainerOwner returns the ID and the owner label of the container with a name.
func (e *Engine) ContainerOwner(ctx context.Context, name string) (id, owner string, err error) {
	c, err := e.client.ContainerInspect(ctx, name)
	if err != nil {
		return "", "", wrap(err, "inspect container %s", name)
	}
	return c.ID, c.Config.Labels[state.LabelOwner], nil
}

// CreateContainer creates a container, attaches it to its networks, and seeds its user's home.
func (e *Engine) CreateContainer(ctx context.Context, c state.Container) (string, error) {
	if err := e.files.checkMounts(c.Mounts); err != nil {
		return "", err
	}
	if err := e.files.chownDelivered(ctx, c.Mounts); err != nil {
		return "", err
	}
	if err := e.checkVolumes(ctx, c); err != nil {
		return "", err
	}
	if err := e.prepareVolumes(ctx, c); err != nil {
		return "", err
	}
	env, err := e.imageEnv(ctx, c)
	if err != nil {
		return "", err
	}
	config, host := toCreate(c, env)
	return e.create(ctx, c, config, host)
}

func (e *Engine) create(ctx context.Context, c state.Container, config *container.Config, host *container.HostConfig) (string, error) {
	if err := e.mountLauncher(c, host); err != nil {
		return "", err
	}
	first := c.Networks[0]
	endpoints := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{first.Network: toEndpoint(first)}}
	created, err := e.client.ContainerCreate(ctx, config, host, endpoints, nil, c.Name)
	if err != nil {
		return "", wrap(adviseRuntime(err), "create container %s", c.Name)
	}
	if err := e.attachAndSeedHome(ctx, created.ID, c); err != nil {
		return "", errors.Join(err, e.RemoveContainer(context.WithoutCancel(ctx), created.ID))
	}
	return created.ID, nil
}

// attachAndSeedHome completes a created container: its further networks and the files in its user's home.
func (e *Engine) attachAndSeedHome(ctx context.Context, id string, c state.Container) error {
	for _, a := range c.Networks[1:] {
		if err := e.Connect(ctx, id, a); err != nil {
			return err
		}
	}
	if len(c.HomeFiles()) == 0 {
		return nil
	}
	h, err := e.resolveHome(ctx, id, c)
	if err != nil {
		return err
	}
	return h.seed(ctx, slices.DeleteFunc(c.HomeFiles(), func(f state.HomeFile) bool {
		return h.inMount(path.Join(h.dir, f.Path)) // mounts are their owner's, and volumes are prepared
	}))
}

// StartContainer starts a container, unless the source of a mount was replaced since it was checked.
func (e *Engine) StartContainer(ctx context.Context, id string, mounts []state.Mount) error {
	if err := e.files.checkMounts(mounts); err != nil {
		return err
	}
	if err := e.checkCommand(ctx, id); err != nil {
		return err
	}
	if err := e.client.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return wrap(explainStart(err), "start container")
	}
	if err := checkMounted(ctx, e, id, mounts); err != nil {
		return errors.Join(err, e.RemoveContainer(context.WithoutCancel(ctx), id))
	}
	return nil
}

// StopContainer sends SIGTERM and, after grace, SIGKILL; a missing container is success.
func (e *Engine) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	seconds := int(grace.Round(time.Second) / time.Second)
	return wrap(ignoreNotFound(e.client.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})), "stop container")
}

// RemoveContainer kills and removes a container with its anonymous volumes; a missing one is success.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	err := ignoreNotFound(e.client.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	if err != nil && strings.Contains(err.Error(), "is already in progress") {
		return nil
	}
	return wrap(err, "remove container")
}

// UnpauseContainer resumes a paused container.
func (e *Engine) UnpauseContainer(ctx context.Context, id string) error {
	return wrap(e.client.ContainerUnpause(ctx, id), "unpause container")
}

// UpdateLimits sets the limits of a running container, and its restart policy to "no", which every container of bottled has.
func (e *Engine) UpdateLimits(ctx context.Context, id string, l state.Limits) error {
	_, err := e.client.ContainerUpdate(ctx, id, container.UpdateConfig{
		Resources: toResources(l), RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
	})
	return wrap(err, "update limits")
}

// openLog streams a container's output, stdout and stderr in one.
func (e *Engine) openLog(ctx context.Context, id string, since time.Time, tail int, follow bool) (io.ReadCloser, error) {
	opts := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow, Tail: "all", Since: formatTime(since)}
	if tail > 0 {
		opts.Tail = fmt.Sprint(tail)
	}
	raw, err := e.client.ContainerLogs(ctx, id, opts)
	if errdefs.IsConflict(err) { // the container is dead or marked for removal
		return nil, fmt.Errorf("read log: %w: %w", engine.ErrNotFound, err)
	}
	if err != nil {
		return nil, wrap(err, "read log")
	}
	lines, in := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(in, in, raw)
		in.CloseWithError(err) // nil is EOF
	}()
	return readCloser{lines, func() error { return errors.Join(raw.Close(), lines.Close()) }}, nil
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }
