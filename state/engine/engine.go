package engine

import (
	"context"
	"io"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Engine is the whole port.
type Engine interface {
	Reader
	Writer
	Delivery
	SessionRuntime
	// Capabilities returns what the engine can change about existing objects. The result is constant.
	Capabilities() Capabilities
}

// Reader observes. No method of it changes anything on the engine.
type Reader interface {
	// Ping returns nil if the engine answers (Docker: GET /_ping).
	Ping(ctx context.Context) error
	// Info describes the engine (Docker: GET /info).
	Info(ctx context.Context) (Info, error)
	// Events subscribes to the events of all containers and networks, of all owners, from since on; the zero time means now. It
	// calls handle for each until ctx ends or the connection breaks, and returns that as the error (Docker: GET /events).
	Events(ctx context.Context, since time.Time, handle func(Event)) error
	// Containers lists the containers of an owner, running or not: those of one bottle, or with slug "" all
	// (Docker: GET /containers/json).
	Containers(ctx context.Context, owner, slug string) ([]Summary, error)
	// Networks lists all networks of all owners, since their subnets are in use (Docker: GET /networks).
	Networks(ctx context.Context) ([]ObservedNetwork, error)
	// Volumes lists the volumes of an owner: those of one bottle, or with slug "" all (Docker: GET /volumes).
	Volumes(ctx context.Context, owner, slug string) ([]ObservedVolume, error)
	// Images returns the image IDs by reference; a reference that the engine does not have is missing (Docker: GET /images/json).
	Images(ctx context.Context, refs []string) (map[string]string, error)
	// Inspect returns all settings of a container (Docker: GET /containers/{id}/json).
	Inspect(ctx context.Context, id string) (Detail, error)
	// Usage returns what a running container uses; the zero Usage for one that does not run
	// (Docker: GET /containers/{id}/stats?one-shot=1).
	Usage(ctx context.Context, id string) (Usage, error)
	// NetworkMembers returns the names of the containers on a network, for an error message.
	NetworkMembers(ctx context.Context, id string) ([]string, error)
	// ContainerOwner returns the ID and the owner label of the container with a name; the label is "" when it has none.
	ContainerOwner(ctx context.Context, name string) (id, owner string, err error)
}

// Writer changes containers, networks, volumes and images.
type Writer interface {
	// CreateNetwork creates a network and returns it as the engine made it (Docker: POST /networks/create, GET /networks/{id}).
	CreateNetwork(ctx context.Context, n state.Network) (ObservedNetwork, error)
	// RemoveNetwork removes a network. A missing one is success.
	RemoveNetwork(ctx context.Context, id string) error
	// CreateVolume creates a volume (Docker: POST /volumes/create). One that exists already is success if it is the bottle's; otherwise the
	// error wraps [ErrForeignVolume].
	CreateVolume(ctx context.Context, v state.Volume) error
	// RemoveVolume removes a volume. A missing one is success, one that a container mounts is an error that wraps [ErrConflict].
	RemoveVolume(ctx context.Context, name string) error
	// CreateContainer creates a container, attaches it to its networks, and seeds its user's home. On failure it leaves nothing
	// behind. Its volumes must exist and be its bottle's, as for CreateVolume. An empty one that would be root's belongs to its user.
	CreateContainer(ctx context.Context, c state.Container) (id string, err error)
	// StartContainer starts a container. mounts are those that it was created with. If a source was replaced since it was checked,
	// the error wraps [state.ErrMount], and a container that was started on it is removed. If its command is missing or no executable
	// file, the error wraps [ErrNoCommand] or [ErrNotExecutable], and the container is not started.
	StartContainer(ctx context.Context, id string, mounts []state.Mount) error
	// StopContainer sends SIGTERM and, after grace, SIGKILL. A missing container is success.
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	// RemoveContainer kills and removes a container. A missing one is success.
	RemoveContainer(ctx context.Context, id string) error
	// UnpauseContainer resumes a paused container.
	UnpauseContainer(ctx context.Context, id string) error
	// UpdateLimits sets the limits of a running container, and its restart policy to "no".
	UpdateLimits(ctx context.Context, id string, l state.Limits) error
	// Connect attaches a container to a network.
	Connect(ctx context.Context, id string, a state.Attachment) error
	// Disconnect detaches a container from a network. A container that is not attached is success.
	Disconnect(ctx context.Context, network, id string) error
	// LoadImage loads a docker-save archive (Docker: POST /images/load).
	LoadImage(ctx context.Context, archive io.Reader) error
	// PullImage pulls an image.
	PullImage(ctx context.Context, ref string) error
	// BuildImage builds an image from an archive of the build context, and tags it on success. It reads the archive to its end
	// before it starts; an archive that breaks off makes no image. An error quotes the build's last output (Docker: POST /build).
	BuildImage(ctx context.Context, b ImageBuild, archive io.Reader) error
}

// Delivery delivers configuration to components, with an acknowledgement.
type Delivery interface {
	// Files returns the delivered directories of one bottle, or with slug "" of all, by path and file name. A spool has no files in
	// the result.
	Files(ctx context.Context, slug string) (map[string]map[string]state.ObservedFile, error)
	// WriteFiles makes a directory hold exactly its files, each replaced atomically, readable by the sidecars' user.
	WriteFiles(ctx context.Context, dir state.Dir) error
	// RemoveFiles removes all directories of a bottle but its proposal queue.
	RemoveFiles(ctx context.Context, slug string) error
	// Reload signals a component to read its files again, and returns its report once it serves config. If the component has just
	// started, it waits for its first report before. With config "", for a component that does not report, it returns after the signal.
	Reload(ctx context.Context, id, config string) (Report, error)
	// WaitReady waits until a container is ready. It returns [ErrEnded], [ErrPaused] or [ErrNotFound] as soon as the container ends,
	// is paused or is removed.
	WaitReady(ctx context.Context, id string, r Readiness) (Report, error)
	// LastReport returns the last report of a component's current run, which began after endedAt; the zero Report if there is none.
	LastReport(ctx context.Context, id string, endedAt time.Time) (Report, error)
}

// Readiness is the condition for a container to count as ready.
type Readiness struct {
	// Config is the digest of the configuration that the component must report. "" is for a component that does not report: the
	// container must run, and its health check, if it has one, must pass.
	Config string
	// Since excludes earlier reports. The zero time accepts any report in the container's log.
	Since time.Time
}

// Report is a component's report of the configuration that it serves.
type Report struct {
	Config string // digest
	At     time.Time
}

// ImageBuild holds the options of a build.
type ImageBuild struct {
	Ref        string
	Dockerfile string // path in the archive
	Network    string // network mode of RUN steps
	Labels     map[string]string
}

// Capabilities report which existing objects an engine can change in place. Where it can't, the planner replaces them.
type Capabilities struct {
	UpdateLimits bool // of a running container
	Unpause      bool
	Reconnect    bool // attach and detach networks of an existing container
	Reload       bool // see Delivery.Reload
	Commands     Commands
}

// Commands are this engine's command lines for error messages: what to type where bottled failed. They are formats with one %s for
// the object; Detach has two, the network and the container.
type Commands struct {
	RemoveContainer, RemoveNetwork, RemoveVolume, InspectContainer, Detach string
}
