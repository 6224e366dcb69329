package observe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/store"
)

// ObservedContainer is one container of the owner.
type ObservedContainer struct {
	engine.Summary
	engine.Detail
	// Config is the digest of the configuration that the container last reported to serve since it was
	// started; "" when it has reported none.
	Config string
	// ReportedAt is when it reported that.
	ReportedAt time.Time
	// Orphan marks a session's container whose bottled process is gone.
	Orphan bool
}

// Observed is everything that runs and exists, at one moment.
type Observed struct {
	Networks   []engine.ObservedNetwork // all: foreign ones take names and subnets
	Containers []ObservedContainer      // the owner's
	Images     map[string]string        // image ID by reference, of the references asked for
	Routes     []netip.Prefix           // of the host
	// Capabilities are what the engine can do with what exists.
	Capabilities engine.Capabilities
	Dirs         map[string]map[string]state.ObservedFile
}

// Observer reads the engine and the host.
type Observer struct {
	Engine   engine.Engine
	Settings state.Settings
	Cache    *Cache
	// Routes lists the destinations in the host's routing table.
	Routes func() ([]netip.Prefix, error)
}

// inspections is how many containers are inspected at once.
const maxInspections = 8

// Look says what to look at.
type Options struct {
	Slug string   // one bottle; "" for all of the owner's. Networks are all listed in any case.
	Refs []string // images
	Deep bool     // inspect every container, whatever the cache knows
}

// lookLimit bounds one look: an engine that takes longer hangs.
const observeTimeout = time.Minute

// Observe takes one snapshot. However many bottles there are, it makes three engine calls, plus one or
// two for each container that the cache does not know as it is now; a deep look asks about all of them again.
func (o Observer) Observe(ctx context.Context, look Options) (Observed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, observeTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, observeTimeout))
	defer cancel()
	got, err := o.observe(ctx, look)
	if err != nil && errors.Is(context.Cause(ctx), engine.ErrUnavailable) {
		err = errors.Join(context.Cause(ctx), err)
	}
	return got, err
}

func (o Observer) observe(ctx context.Context, look Options) (Observed, error) {
	got := Observed{Capabilities: o.Engine.Capabilities()}
	var summaries []engine.Summary
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
		got.Dirs, err = o.Engine.Files(gctx, look.Slug)
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

func (o Observer) details(ctx context.Context, summaries []engine.Summary, look Options) ([]ObservedContainer, error) {
	found := make([]*ObservedContainer, len(summaries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxInspections)
	for i, s := range summaries {
		// What does not run may have run and ended since, and look the same in a listing.
		if c, ok := o.Cache.get(s); ok && !look.Deep && s.State == engine.StateRunning && s.Health != engine.HealthUnhealthy {
			found[i] = &c
			continue
		}
		group.Go(func() error {
			c, err := o.inspect(ctx, s)
			if errors.Is(err, engine.ErrNotFound) {
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
		containers[i].Orphan = c.Component() == state.Session && !store.SessionHeld(o.Settings, c.Name)
	}
	slices.SortFunc(containers, func(a, b ObservedContainer) int { return strings.Compare(a.Name, b.Name) })
	return containers, nil
}

func (o Observer) inspect(ctx context.Context, s engine.Summary) (ObservedContainer, error) {
	detail, err := o.Engine.Inspect(ctx, s.ID)
	if err != nil {
		return ObservedContainer{}, err
	}
	if s.Health == engine.HealthUnhealthy {
		s.Health = detail.Checked // a listing also says so of a container that was paused and not checked since
	}
	c := ObservedContainer{Summary: s, Detail: detail}
	if s.State == engine.StateRunning && kinds.All.Of(s.Component()).Reports {
		var report engine.Report
		report, err = o.Cache.reported(ctx, o.Engine, s.ID, detail.EndedAt)
		c.Config, c.ReportedAt = report.Config, report.At
	}
	return c, err
}

// Images returns the IDs of images by reference; those that the engine does not have are missing.
func (o Observer) Images(ctx context.Context, refs []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, observeTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, observeTimeout))
	defer cancel()
	images, err := o.Engine.Images(ctx, refs)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), fmt.Errorf("read the current state: %w", err))
	}
	return images, nil
}
