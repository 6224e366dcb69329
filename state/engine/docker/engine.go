// Package docker is the one real implementation of state.Engine: the Docker Engine API through Docker's own
// client. It translates between the engine's types and ours, in both directions, and decides nothing.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	images map[string]engine.ImageDefaults // by image ID, which never changes its meaning
}

// Connect is New, and fails when the engine does not answer.
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

// New finds the engine as the docker CLI does (DOCKER_HOST, DOCKER_CONTEXT, the current context), without asking it for
// anything yet. It must be on this host: bottled bind-mounts files that it writes, where the settings say.
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
			"the docker engine at %s is not on this host (only unix:// sockets are): bottled bind-mounts the files it writes, so run it on the engine's host", host))
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
	if os.Getenv(client.EnvOverrideHost) != "" || name == "" || name == "default" {
		return []client.Opt{client.FromEnv}, nil
	}
	contexts := store.New(cliconfig.ContextStoreDir(), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(contextdocker.DockerEndpoint, func() any { return &contextdocker.EndpointMeta{} }),
	))
	meta, err := contexts.GetMetadata(name)
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

// Close ends idle connections.
func (e *Engine) Close() error { return e.client.Close() }

// wrap gives an engine error the object it is about and, where bottled tells it apart, its kind.
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
	case unavailable(err):
		return fmt.Errorf("%s: %w: %w", what, engine.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unavailable tells an engine that is gone, or goes while it is asked, from one that answers with an error.
func unavailable(err error) bool {
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Capabilities are all: an engine on this host can change what runs.
func (e *Engine) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		UpdateLimits: true, Unpause: true, Reconnect: true, Reload: true,
		Commands: engine.Commands{
			RemoveContainer: "docker rm -f %s", RemoveNetwork: "docker network rm %s",
			InspectContainer: "docker inspect %s", Detach: "docker network disconnect -f %s %s",
		},
	}
}

var _ engine.Engine = (*Engine)(nil)
