package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	cliconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	contextdocker "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Engine talks to one Docker engine.
type Engine struct {
	client *client.Client
	files  *files
	config *configfile.ConfigFile // credentials for pulls

	mu     sync.Mutex
	images map[string]engine.ImageDefaults // cache by image ID, never stale: an ID is a digest
}

// Connect returns an engine like New, and fails if the engine does not answer.
func Connect(ctx context.Context, s state.Settings) (*Engine, error) {
	e, err := New(s)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// New finds the engine like the docker CLI (DOCKER_HOST, DOCKER_CONTEXT, the current context) without calling it. The engine must be
// on this host, since bottled bind-mounts files that it writes.
func New(s state.Settings) (*Engine, error) {
	config := cliconfig.LoadDefaultConfigFile(os.Stderr)
	opts, err := clientOptions(config)
	if err != nil {
		return nil, err
	}
	c, err := client.NewClientWithOpts(append(opts, client.WithAPIVersionNegotiation())...)
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	host := c.DaemonHost()
	if !strings.HasPrefix(host, "unix://") {
		return nil, errors.Join(c.Close(), fmt.Errorf(
			"the docker engine at %s is not on this host (only unix:// sockets are supported): run bottled on the engine's host, since it bind-mounts files that it writes", host))
	}
	e := &Engine{client: c, config: config, images: map[string]engine.ImageDefaults{}}
	e.files = &files{settings: s, info: e.Info}
	return e, nil
}

func clientOptions(config *configfile.ConfigFile) ([]client.Opt, error) {
	name := os.Getenv("DOCKER_CONTEXT")
	if name == "" {
		name = config.CurrentContext
	}
	if host := os.Getenv(client.EnvOverrideHost); filepath.IsAbs(host) {
		return nil, fmt.Errorf("%s=%s has no scheme: write %s=unix://%s", client.EnvOverrideHost, host, client.EnvOverrideHost, host)
	}
	if os.Getenv(client.EnvOverrideHost) != "" || name == "" || name == "default" {
		return []client.Opt{client.FromEnv}, nil
	}
	contexts := store.New(cliconfig.ContextStoreDir(), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(contextdocker.DockerEndpoint, func() any { return &contextdocker.EndpointMeta{} }),
	))
	meta, err := contexts.GetMetadata(name)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("there is no docker context %q: docker context ls lists them", name)
	}
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	endpoint, err := contextdocker.EndpointFromContext(meta)
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	withTLS, err := contextdocker.WithTLSData(contexts, name, endpoint)
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	opts, err := withTLS.ClientOpts()
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	return opts, nil
}

// Close closes idle connections.
func (e *Engine) Close() error { return e.client.Close() }

// wrap adds to an error of the client what was attempted, and the port's error that it corresponds to.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w: %w", what, engine.ErrNotFound, err)
	case errdefs.IsConflict(err):
		return fmt.Errorf("%s: %w: %w", what, engine.ErrConflict, err)
	case isUnavailable(err):
		return fmt.Errorf("%s: %w: %w", what, engine.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isUnavailable reports whether an error means that the engine can't be reached or broke off, as opposed to an error response.
func isUnavailable(err error) bool {
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Capabilities returns all capabilities, and the docker CLI's commands.
func (e *Engine) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		UpdateLimits: true, Unpause: true, Reconnect: true, Reload: true,
		Commands: engine.Commands{
			RemoveContainer: "docker rm -f %s", RemoveNetwork: "docker network rm %s", RemoveVolume: "docker volume rm %s",
			InspectContainer: "docker inspect %s", Detach: "docker network disconnect -f %s %s",
		},
	}
}

var _ engine.Engine = (*Engine)(nil)
