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

// Event is something that happened on the engine.
type Event struct {
	Time   time.Time
	Action string // the engine's word: start, die, connect, …
	// Container is the ID of the container that it is about, Owner and Slug are from its labels; the engine tells no
	// labels where a network is concerned.
	Container, Owner, Slug string
	Network                string // name of the network; "" when none is concerned
	Signal                 string // of a kill
}

// Container states, as the engine names them.
const (
	StateCreated = "created"
	StateRunning = "running"
	StatePaused  = "paused"
	StateExited  = "exited"
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
func (s Summary) Part() state.ComponentName { return state.ComponentName(s.Labels[state.LabelRole]) }

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

// ErrEnded marks a container that did not stay.
var ErrEnded = errors.New("it ended before it was ready")
