package engine

import (
	"context"
	"io"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

// Engine is all that bottled asks of a container engine. There is one real implementation
// (state/docker); tests wrap it to inject faults. Errors name the object and keep the engine's words.
// A missing object is ErrNotFound, a name in use ErrConflict, and an engine that does not answer ErrUnavailable (all
// wrapped).
type Engine interface {
	// Ping asks whether the engine answers (GET /_ping).
	Ping(ctx context.Context) error
	// Info asks the engine about itself (GET /info).
	Info(ctx context.Context) (Info, error)
	// Events tells what happens to containers and networks, anybody's, from since on (zero: from now on), until ctx ends
	// or the connection breaks, which ends it with the error (GET /events).
	Events(ctx context.Context, since time.Time, tell func(Event)) error
	// Containers lists the containers of the owner, running or not: of one bottle, or all with slug ""
	// (GET /containers/json).
	Containers(ctx context.Context, owner, slug string) ([]Summary, error)
	// Networks lists all networks, foreign ones too: their subnets are taken (GET /networks).
	Networks(ctx context.Context) ([]ObservedNetwork, error)
	// Images returns the image ID of each reference that the engine has (GET /images/json).
	Images(ctx context.Context, refs []string) (map[string]string, error)
	// Inspect reads one container completely (GET /containers/{id}/json).
	Inspect(ctx context.Context, id string) (Detail, error)
	// Logs streams stdout and stderr, mixed, from since on; with follow until the container ends. tail
	// limits it to the last lines; 0 is all (GET /containers/{id}/logs).
	Logs(ctx context.Context, id string, since time.Time, tail int, follow bool) (io.ReadCloser, error)
	// Health waits until the engine's health check of a container has an outcome.
	WaitHealthy(ctx context.Context, id string) (string, error)
	// MountIDs returns what is mounted at the targets of a running container's bind mounts; nil where that can't be told.
	MountIDs(ctx context.Context, id string) (map[string]safepath.ID, error)
	// NetworkMembers names the containers on a network, for an error message.
	NetworkMembers(ctx context.Context, id string) ([]string, error)
	// NameHolder returns who has a container's name: its owner label ("" when it has none).
	ContainerOwner(ctx context.Context, name string) (id, owner string, err error)

	// CreateNetwork creates a network and returns what the engine made of it (POST /networks/create, GET /networks/{id}).
	CreateNetwork(ctx context.Context, n state.Network) (ObservedNetwork, error)
	RemoveNetwork(ctx context.Context, id string) error
	// CreateContainer creates, attaches to every network of c, and puts the files of c.Home in place. When one of these
	// fails nothing is left.
	CreateContainer(ctx context.Context, c state.Container) (id string, err error)
	StartContainer(ctx context.Context, id string) error
	// StopContainer sends SIGTERM and, after grace, SIGKILL.
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	// RemoveContainer kills and removes; a missing container is success.
	RemoveContainer(ctx context.Context, id string) error
	UnpauseContainer(ctx context.Context, id string) error
	SignalContainer(ctx context.Context, id, signal string) error
	UpdateLimits(ctx context.Context, id string, l state.Limits) error
	Connect(ctx context.Context, network, id string, aliases []string) error
	// Disconnect detaches; not being attached is success.
	Disconnect(ctx context.Context, network, id string) error
	// LoadImage loads a docker-save archive (POST /images/load).
	LoadImage(ctx context.Context, archive io.Reader) error
	PullImage(ctx context.Context, ref string) error
	// BuildImage builds an image and names it when that has succeeded. It reads the context's archive to its end before it
	// begins; an archive that breaks off makes no image. An error quotes the build's last output (POST /build).
	BuildImage(ctx context.Context, b ImageBuild, archive io.Reader) error
}

// ImageBuild says how an image is built.
type ImageBuild struct {
	Ref        string
	Dockerfile string // path in the archive
	Network    string // of RUN steps
	Labels     map[string]string
}
