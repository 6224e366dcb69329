package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// The engine errors that callers distinguish.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("name or subnet in use")
	ErrUnavailable = errors.New("the engine does not answer")
)

// The errors of a container that does not start because of its command.
var (
	ErrNoCommand     = errors.New("command not found")
	ErrNotExecutable = errors.New("the command can't be executed")
)

// EventKind is the kind of an event.
type EventKind string

// The kinds of events. An engine need not have all of them.
const (
	EventStarted       EventKind = "started"
	EventEnded         EventKind = "ended"          // the container's first process ended
	EventKillRequested EventKind = "kill requested" // somebody sent a signal other than a reload's
	EventStopped       EventKind = "stopped"        // somebody stopped it
	EventPaused        EventKind = "paused"
	EventUnpaused      EventKind = "unpaused"
	EventRenamed       EventKind = "renamed"
	EventUpdated       EventKind = "updated" // its limits or restart policy
	EventRemoved       EventKind = "removed"
	EventHealthy       EventKind = "healthy"   // its health check passed
	EventUnhealthy     EventKind = "unhealthy" // its health check failed
	EventConnected     EventKind = "connected"
	EventDisconnected  EventKind = "disconnected"
)

// Event reports a change of a container or a network.
type Event struct {
	Time time.Time
	Kind EventKind
	// Container is the ID of the container; Owner and Slug come from its labels. Events of networks carry no labels.
	Container, Owner, Slug string
	Network                string // name of the network; "" for an event of a container alone
}

// Container states.
const (
	StateCreated  = "created"
	StateRunning  = "running"
	StatePaused   = "paused"
	StateExited   = "exited"
	StateDead     = "dead"     // the engine failed to remove it
	StateRemoving = "removing" // its removal is under way
)

// Outcomes of the engine's health check; "" when a container has none.
const (
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
	HealthStarting  = "starting"
)

// Summary is a container in a listing.
type Summary struct {
	ID, Name       string
	Image, ImageID string
	Labels         map[string]string
	State          string
	Health         string
	Endpoints      []Endpoint
}

// Endpoint is an observed attachment of a container to a network. Its ID changes with every start and reconnect.
type Endpoint struct {
	Network, NetworkID, ID string
}

// Detail holds the fields of a container that only an inspection returns.
type Detail struct {
	Container state.Container
	Defaults  ImageDefaults
	// EndedAt is the end of the last run; zero for a container in its first. Log lines after it belong to the current run. (The start
	// time would not do: Docker records it later than the process may write.)
	EndedAt time.Time
	// StartedAt is the start of the last run, which it identifies; zero for a container that was never started.
	StartedAt time.Time
	ExitCode  int
	OOMKilled bool
	Checked   string // outcome of the health check, which a pause does not change
}

// Usage is what a container uses of its host.
type Usage struct {
	CPU         time.Duration // processor time since the container started
	Memory      int64         // bytes, without caches that the kernel could drop
	MemoryLimit int64         // bytes; the host's memory where the container has no limit
	Processes   int
}

// ImageDefaults are the settings that a container inherits from its image.
type ImageDefaults struct {
	Entrypoint, Command []string
	Env                 map[string]string
	User, WorkDir       string
}

// Slug returns the name of the bottle that the container belongs to.
func (s Summary) Slug() string { return s.Labels[state.LabelSlug] }

// Component returns the name of the component that the container is.
func (s Summary) Component() state.ComponentName {
	return state.ComponentName(s.Labels[state.LabelRole])
}

// ObservedNetwork is a network on the engine, of any owner.
type ObservedNetwork struct {
	ID string
	state.Network
	Subnets []netip.Prefix // all of them, IPv6 too
}

// Info describes an engine as far as isolation depends on it (Docker: GET /info).
type Info struct {
	Version string
	// Runtimes are the names of the OCI runtimes, sorted.
	Runtimes []string
	// NoInit is true for an engine that does not find its init, without which agents can't be started.
	NoInit bool
	// MemoryLimit, CPULimit and PidsLimit report whether the engine enforces these limits.
	MemoryLimit, CPULimit, PidsLimit bool
	CgroupVersion                    string // "1" or "2"
	Users                            UserMapping
	// VXLANPort is the UDP port of the overlay networks of the engine's Swarm; 0 when it is in none.
	VXLANPort int
}

// The errors that end a wait for readiness.
var (
	ErrEnded     = errors.New("it ended before it was ready")
	ErrPaused    = errors.New("it was paused before it was ready")
	ErrUnhealthy = errors.New("its health check fails")
)

// EndedError is an [ErrEnded] whose exit code is known.
type EndedError struct{ ExitCode int }

func (e EndedError) Error() string { return fmt.Sprintf("%v: exit code %d", ErrEnded, e.ExitCode) }

// Is has the error match [ErrEnded].
func (e EndedError) Is(target error) bool { return target == ErrEnded }
