package engine

import (
	"errors"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// The engine errors that bottled tells apart.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("name or subnet in use")
	ErrUnavailable = errors.New("the engine does not answer")
)

// EventKind is what happened.
type EventKind string

// The kinds of events. Kinds that an engine does not have never come.
const (
	EventStarted       EventKind = "started"
	EventEnded         EventKind = "ended"          // the first process ended
	EventKillRequested EventKind = "kill requested" // somebody had a signal sent that is not a reload's
	EventStopped       EventKind = "stopped"        // somebody had it stopped
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

// Event is something that happened to a container or a network on the engine.
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

// Summary is what one listing tells of a container.
type Summary struct {
	ID, Name       string
	Image, ImageID string
	Labels         map[string]string
	State          string
	Health         string
	Endpoints      []Endpoint
}

// Endpoint is a container's attachment to a network as it is; ID changes with every start and reconnect.
type Endpoint struct {
	Network, NetworkID, ID string
}

// Detail is what only an inspection tells.
type Detail struct {
	Container state.Container
	Defaults  ImageDefaults
	// EndedAt is when its last run ended; zero when it has not ended yet. What it said after that, it said in its
	// current run. (Not when it started: an engine notes that later than the process may speak.)
	EndedAt   time.Time
	ExitCode  int
	OOMKilled bool
	Checked   string // outcome of the health checks
}

// ImageDefaults are what a container gets from its image where nothing else is said.
type ImageDefaults struct {
	Entrypoint, Command []string
	Env                 map[string]string
	User                string
}

// Slug is the bottle that the container belongs to.
func (s Summary) Slug() string { return s.Labels[state.LabelSlug] }

// Part is the container's role.
func (s Summary) Component() state.ComponentName {
	return state.ComponentName(s.Labels[state.LabelRole])
}

// ObservedNetwork is a network on the engine, anybody's.
type ObservedNetwork struct {
	ID string
	state.Network
	Subnets []netip.Prefix // all of them, IPv6 too
}

// EngineInfo is what an engine tells of itself that matters for how well it keeps containers in (GET /info).
type Info struct {
	Version string
	// Whether it enforces these limits.
	MemoryLimit, CPULimit, PidsLimit bool
	Users                            UserMapping
	// VXLANPort is the UDP port of the overlay networks of the Swarm that it is a member of; 0 when it is in none.
	VXLANPort int
}

// What can end the wait for a container.
var (
	ErrEnded     = errors.New("it ended before it was ready")
	ErrPaused    = errors.New("it was paused before it was ready")
	ErrUnhealthy = errors.New("its health check fails")
)
