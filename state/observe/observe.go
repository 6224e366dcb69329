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

// ObservedContainer is an observed container of the owner.
type ObservedContainer struct {
	engine.Summary
	engine.Detail
	// Config is the digest of the configuration that the container last reported to serve in its current run; "" when it has not
	// reported.
	Config string
	// ReportedAt is when it reported that.
	ReportedAt time.Time
	// Orphan is true for a session's container whose bottled process is gone.
	Orphan bool
	// Unresponsive is true for a component that did not acknowledge a reload to this process. It may mount a directory that was
	// deleted, in whose place another one is now.
	Unresponsive bool
}

// Observed is a snapshot of the engine and the host.
type Observed struct {
	Networks     []engine.ObservedNetwork // all, since foreign ones use names and subnets
	Containers   []ObservedContainer      // the owner's
	Volumes      []ObservedVolume         // the owner's
	Images       map[string]string        // image IDs by reference, of Options.Refs
	Routes       []netip.Prefix           // the host's
	Capabilities engine.Capabilities
	Dirs         map[string]map[string]state.ObservedFile // by path and file name
}

// Observer takes snapshots of the engine and the host.
type Observer struct {
	Engine   engine.Engine
	Settings state.Settings
	Cache    *Cache
	// Routes lists the destinations in the host's routing table.
	Routes func() ([]netip.Prefix, error)
}

// maxInspections limits concurrent inspections.
const maxInspections = 8

// Options select what to observe.
type Options struct {
	Slug string   // name of one bottle; "" for all of the owner's. Networks are always all listed.
	Refs []string // images
	Deep bool     // inspect every container, regardless of the cache
}

// observeTimeout limits one observation: an engine that takes longer counts as unavailable.
const observeTimeout = time.Minute

// Observe takes a snapshot. For any number of bottles it makes four engine calls, plus one or two for each container that is not in the
// cache in its present state, or with Options.Deep for every container.
func (o Observer) Observe(ctx context.Context, options Options) (Observed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, observeTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, observeTimeout))
	defer cancel()
	got, err := o.observe(ctx, options)
	if err != nil && errors.Is(context.Cause(ctx), engine.ErrUnavailable) {
		err = errors.Join(context.Cause(ctx), err)
	}
	return got, err
}

func (o Observer) observe(ctx context.Context, options Options) (Observed, error) {
	got := Observed{Capabilities: o.Engine.Capabilities()}
	var summaries []engine.Summary
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		summaries, err = o.Engine.Containers(gctx, o.Settings.Owner, options.Slug)
		return err
	})
	group.Go(func() (err error) {
		got.Networks, err = o.Engine.Networks(gctx)
		return err
	})
	var volumes []engine.ObservedVolume
	group.Go(func() (err error) {
		volumes, err = o.Engine.Volumes(gctx, o.Settings.Owner, options.Slug)
		return err
	})
	group.Go(func() (err error) {
		got.Images, err = o.Engine.Images(gctx, options.Refs)
		return err
	})
	group.Go(func() (err error) {
		got.Dirs, err = o.Engine.Files(gctx, options.Slug)
		return err
	})
	group.Go(func() (err error) {
		got.Routes, err = o.Routes()
		return err
	})
	if err := group.Wait(); err != nil {
		return Observed{}, fmt.Errorf("read the current state: %w", err)
	}
	containers, err := o.inspectAll(ctx, summaries, options)
	if err != nil {
		return Observed{}, fmt.Errorf("read the current state: %w", err)
	}
	got.Containers, got.Volumes = containers, o.classifyVolumes(volumes)
	return got, nil
}

func (o Observer) inspectAll(ctx context.Context, summaries []engine.Summary, options Options) ([]ObservedContainer, error) {
	found := make([]*ObservedContainer, len(summaries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxInspections)
	for i, s := range summaries {
		// A stopped container may have run and ended since, and look the same in a listing.
		if c, ok := o.Cache.get(s); ok && !options.Deep && s.State == engine.StateRunning && s.Health != engine.HealthUnhealthy {
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
	o.Cache.put(containers, options.Slug)
	for i, c := range containers {
		containers[i].Unresponsive = o.Cache.isUnresponsive(c.ID)
		containers[i].Orphan = c.Component().IsSession() && !store.SessionLocked(o.Settings, c.Name)
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
		s.Health = detail.Checked // Docker also lists a container as unhealthy that was paused and not checked since
	}
	c := ObservedContainer{Summary: s, Detail: detail}
	if s.State == engine.StateRunning && kinds.All.Of(s.Component()).Reports {
		var report engine.Report
		report, err = o.Cache.reported(ctx, o.Engine, s.ID, detail.EndedAt)
		c.Config, c.ReportedAt = report.Config, report.At
	}
	return c, err
}

// Images returns image IDs by reference; references that the engine does not have are missing.
func (o Observer) Images(ctx context.Context, refs []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, observeTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, observeTimeout))
	defer cancel()
	images, err := o.Engine.Images(ctx, refs)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), fmt.Errorf("read the current state: %w", err))
	}
	return images, nil
}
