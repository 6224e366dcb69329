// Package engine is the port to a container engine: what bottled asks of one, in bottled's own words. Package docker
// implements it for the Docker Engine API, package fake in memory; package conformance holds both to the same promises.
//
// Errors name the object and keep the engine's words. Those that callers tell apart are wrapped: [ErrNotFound],
// [ErrConflict], [ErrUnavailable], [ErrEnded], [ErrPaused] and [state.ErrMount]. Every method honours its context.
package engine

import (
	"context"
	"io"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Engine is all of the port.
type Engine interface {
	Reader
	Writer
	Delivery
	SessionRuntime
	// Capabilities returns what the engine can do with what exists already. They do not change while it is used.
	Capabilities() Capabilities
}

// Reader observes. Nothing of it changes anything on the engine.
type Reader interface {
	// Ping asks whether the engine answers (Docker: GET /_ping).
	Ping(ctx context.Context) error
	// Info describes the engine (Docker: GET /info).
	Info(ctx context.Context) (Info, error)
	// Events calls handle for each event about containers and networks, anybody's, from since on (zero: from now on), until ctx
	// ends or the connection breaks, which it returns as the error (Docker: GET /events).
	Events(ctx context.Context, since time.Time, handle func(Event)) error
	// Containers lists the containers of an owner, running or not, of one bottle or with slug "" of all (Docker: GET /containers/json).
	Containers(ctx context.Context, owner, slug string) ([]Summary, error)
	// Networks lists all networks, foreign ones too: their subnets are taken (Docker: GET /networks).
	Networks(ctx context.Context) ([]ObservedNetwork, error)
	// Images returns the image ID of each reference that the engine has (Docker: GET /images/json).
	Images(ctx context.Context, refs []string) (map[string]string, error)
	// Inspect reads one container completely (Docker: GET /containers/{id}/json).
	Inspect(ctx context.Context, id string) (Detail, error)
	// NetworkMembers names the containers on a network, for an error message.
	NetworkMembers(ctx context.Context, id string) ([]string, error)
	// ContainerOwner returns the ID of the container that has a name, and its owner label ("" when it has none).
	ContainerOwner(ctx context.Context, name string) (id, owner string, err error)
}

// Writer changes containers, networks and images.
type Writer interface {
	// CreateNetwork creates a network and returns what the engine made of it (Docker: POST /networks/create, GET /networks/{id}).
	CreateNetwork(ctx context.Context, n state.Network) (ObservedNetwork, error)
	// RemoveNetwork removes a network. A missing one is success.
	RemoveNetwork(ctx context.Context, id string) error
	// CreateContainer creates a container, attaches it to each of its networks, and seeds its user's home. When one of these
	// fails nothing is left.
	CreateContainer(ctx context.Context, c state.Container) (id string, err error)
	// StartContainer starts a container. mounts are those that it was created with. When a source is not what was judged, the
	// error wraps [state.ErrMount], and a container that was started on it is removed.
	StartContainer(ctx context.Context, id string, mounts []state.Mount) error
	// StopContainer sends SIGTERM and, after grace, SIGKILL. A missing container is success.
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	// RemoveContainer kills and removes a container. A missing one is success.
	RemoveContainer(ctx context.Context, id string) error
	// UnpauseContainer resumes a paused container.
	UnpauseContainer(ctx context.Context, id string) error
	// UpdateLimits sets the limits of a container, and its restart policy to none, while it runs.
	UpdateLimits(ctx context.Context, id string, l state.Limits) error
	// Connect attaches a container to a network.
	Connect(ctx context.Context, network, id string, aliases []string) error
	// Disconnect detaches a container from a network. Not being attached is success.
	Disconnect(ctx context.Context, network, id string) error
	// LoadImage loads a docker-save archive (Docker: POST /images/load).
	LoadImage(ctx context.Context, archive io.Reader) error
	// PullImage pulls an image.
	PullImage(ctx context.Context, ref string) error
	// BuildImage builds an image and names it when that has succeeded. It reads the archive of the context to its end before it
	// begins; an archive that breaks off makes no image. An error quotes the last output of the build (Docker: POST /build).
	BuildImage(ctx context.Context, b ImageBuild, archive io.Reader) error
}

// Delivery brings configuration to components and confirms that it arrived.
type Delivery interface {
	// Files reads the directories that were delivered, by path and file name, of one bottle or with slug "" of all. Of a spool
	// it reports only that it exists.
	Files(ctx context.Context, slug string) (map[string]map[string]state.ObservedFile, error)
	// WriteFiles makes a directory hold exactly its files, each replaced atomically, readable by the sidecars' user.
	WriteFiles(ctx context.Context, dir state.Dir) error
	// RemoveFiles removes the configuration and the tokens of a bottle. Its spools stay.
	RemoveFiles(ctx context.Context, slug string) error
	// Reload has a component read its files again, and returns its report once it serves config. With config "" it returns
	// when the component was asked: it doesn't report.
	Reload(ctx context.Context, id, config string) (Report, error)
	// WaitReady waits until a container is ready. A container that ends, is paused or is removed meanwhile ends the wait at once
	// with [ErrEnded], [ErrPaused] or [ErrNotFound].
	WaitReady(ctx context.Context, id string, r Readiness) (Report, error)
	// LastReport returns what a component reported last since its last run ended; the zero Report when it reported nothing.
	LastReport(ctx context.Context, id string, endedAt time.Time) (Report, error)
}

// Readiness is what a container must show to count as ready.
type Readiness struct {
	// Config is the digest of the configuration that the component must report to serve. Where it is "", the component doesn't
	// report: the container must run, and its health check, if it has one, must pass.
	Config string
	// Since excludes reports from before. Zero: any report of the container's log.
	Since time.Time
}

// Report is what a component says about the configuration that it serves.
type Report struct {
	Config string // digest
	At     time.Time
}

// ImageBuild says how an image is built.
type ImageBuild struct {
	Ref        string
	Dockerfile string // path in the archive
	Network    string // of RUN steps
	Labels     map[string]string
}

// Capabilities are what an engine can do with objects that exist. The planner replaces what can't be changed.
type Capabilities struct {
	UpdateLimits bool // of a running container
	Unpause      bool
	Reconnect    bool // attach and detach networks of an existing container
	Reload       bool // acknowledged, without a new container
	Commands     Commands
}

// Commands are the command lines by which a person does on this engine what bottled could not: formats with one %s for the
// object, Detach with two (the network and the container).
type Commands struct {
	RemoveContainer, RemoveNetwork, InspectContainer, Detach string
}
