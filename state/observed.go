package state

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
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
	Container Container
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

// ObservedContainer is one container of the owner.
type ObservedContainer struct {
	Summary
	Detail
	// Config is the digest of the configuration that the container last reported to serve since it was
	// started; "" when it has reported none.
	Config string
	// Orphan marks a session's container whose bottled process is gone.
	Orphan bool
}

// Slug is the bottle that the container belongs to.
func (s Summary) Slug() string { return s.Labels[LabelSlug] }

// Part is the container's role.
func (s Summary) Part() Part { return Part(s.Labels[LabelRole]) }

// ObservedNetwork is a network on the engine, anybody's.
type ObservedNetwork struct {
	ID string
	Network
	Subnets []netip.Prefix // all of them, IPv6 too
}

// ObservedFile is a file in one of the directories that bottled writes.
type ObservedFile struct {
	Content Content
	Mode    uint32
}

// Observed is everything that runs and exists, at one moment.
type Observed struct {
	Networks   []ObservedNetwork   // all: foreign ones take names and subnets
	Containers []ObservedContainer // the owner's
	Images     map[string]string   // image ID by reference, of the references asked for
	Routes     []netip.Prefix      // of the host
	Dirs       map[string]map[string]ObservedFile
}

// Observer reads the engine and the host.
type Observer struct {
	Engine   Engine
	Settings Settings
	Cache    *Cache
	// Routes lists the destinations in the host's routing table.
	Routes func() ([]netip.Prefix, error)
}

// inspections is how many containers are inspected at once.
const inspections = 8

// Look says what to look at.
type Look struct {
	Slug string   // one bottle; "" for all of the owner's. Networks are all listed in any case.
	Refs []string // images
	Deep bool     // inspect every container, whatever the cache knows
}

// lookLimit bounds one look: an engine that takes longer hangs.
const lookLimit = time.Minute

// Observe takes one snapshot. However many bottles there are, it makes three engine calls, plus one or
// two for each container that the cache does not know as it is now; a deep look asks about all of them again.
func (o Observer) Observe(ctx context.Context, look Look) (Observed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("%w within %s", ErrUnavailable, lookLimit))
	defer cancel()
	got, err := o.observe(ctx, look)
	if err != nil && errors.Is(context.Cause(ctx), ErrUnavailable) {
		err = errors.Join(context.Cause(ctx), err)
	}
	return got, err
}

func (o Observer) observe(ctx context.Context, look Look) (Observed, error) {
	var got Observed
	var summaries []Summary
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		summaries, err = o.Engine.Containers(gctx, o.Settings.Owner, look.Slug)
		return err
	})
	group.Go(func() (err error) {
		got.Networks, err = o.Engine.Networks(gctx)
		return err
	})
	group.Go(func() (err error) {
		got.Images, err = o.Engine.Images(gctx, look.Refs)
		return err
	})
	group.Go(func() (err error) {
		got.Dirs, err = readDirs(o.Settings, look.Slug)
		return err
	})
	group.Go(func() (err error) {
		got.Routes, err = o.Routes()
		return err
	})
	if err := group.Wait(); err != nil {
		return Observed{}, fmt.Errorf("read the current state: %w", err)
	}
	containers, err := o.details(ctx, summaries, look)
	if err != nil {
		return Observed{}, fmt.Errorf("read the current state: %w", err)
	}
	got.Containers = containers
	return got, nil
}

func (o Observer) details(ctx context.Context, summaries []Summary, look Look) ([]ObservedContainer, error) {
	found := make([]*ObservedContainer, len(summaries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspections)
	for i, s := range summaries {
		// What does not run may have run and ended since, and look the same in a listing.
		if c, ok := o.Cache.get(s); ok && !look.Deep && s.State == StateRunning && s.Health != HealthUnhealthy {
			found[i] = &c
			continue
		}
		group.Go(func() error {
			c, err := o.inspect(ctx, s)
			if errors.Is(err, ErrNotFound) {
				return nil // removed since it was listed
			}
			found[i] = &c
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var containers []ObservedContainer
	for _, c := range found {
		if c != nil {
			containers = append(containers, *c)
		}
	}
	o.Cache.put(containers, look.Slug)
	for i, c := range containers {
		containers[i].Orphan = c.Part() == Run && !sessionHeld(o.Settings, c.Name)
	}
	slices.SortFunc(containers, func(a, b ObservedContainer) int { return strings.Compare(a.Name, b.Name) })
	return containers, nil
}

func (o Observer) inspect(ctx context.Context, s Summary) (ObservedContainer, error) {
	detail, err := o.Engine.Inspect(ctx, s.ID)
	if err != nil {
		return ObservedContainer{}, err
	}
	if s.Health == HealthUnhealthy {
		s.Health = detail.Checked // a listing also says so of a container that was paused and not checked since
	}
	c := ObservedContainer{Summary: s, Detail: detail}
	if s.State == StateRunning && s.Part().reports() {
		c.Config, err = o.Cache.reported(ctx, o.Engine, s.ID, detail.EndedAt)
	}
	return c, err
}
