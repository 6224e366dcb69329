package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// reconnect is how long to wait before the next try to reach an engine that is gone.
var reconnectBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 7, Cap: 5 * time.Second}

// listen holds a session with the engine, and begins a new one when it breaks.
func (c *Controller) listen(ctx context.Context) {
	backoff := reconnectBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.watchEngine(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.markUnreachable(err)
		c.mu.Unlock()
		if time.Since(began) > reconnectBackoff.Cap {
			backoff = reconnectBackoff
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

// connectLimit bounds how long an engine may take to say that it is there, and what it is.
const connectLimit = 30 * time.Second

// connect asks whether the engine answers, and what it can't enforce.
func (c *Controller) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("%w within %s", engine.ErrUnavailable, connectLimit))
	defer cancel()
	if err := c.Reconciler.Observer.Engine.Ping(ctx); err != nil {
		return err
	}
	warnings, err := c.Reconciler.Warnings(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logWarnings(warnings)
	return nil
}

// watchEngine connects and follows the engine's events until the connection is lost. It begins with a resync, since what happened
// before is not known: an engine keeps its last 256 events at most.
func (c *Controller) watchEngine(ctx context.Context) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.disconnect = cancel
	since := c.lastEvent
	if since.IsZero() {
		since = time.Now()
	}
	c.mu.Unlock()
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return c.Reconciler.Observer.Engine.Events(both, since, c.handleEvent) })
	group.Go(func() error {
		if err := c.resync(both, true); err != nil {
			return err
		}
		c.markReachable()
		return nil
	})
	err := group.Wait()
	if lost := context.Cause(ctx); lost != nil {
		return lost
	}
	return err
}

// logWarnings logs what the engine does not enforce, once as long as it stays the same.
func (c *Controller) logWarnings(warnings []string) {
	if slices.Equal(warnings, c.warnings) {
		return
	}
	c.warnings = warnings
	for _, text := range warnings {
		c.Log.Warn().Msg(text)
	}
	c.notifySubscribers()
}

// lost ends the session with an engine that does not answer; other errors are none of the session's.
func (c *Controller) dropConnection(err error) {
	if errors.Is(err, engine.ErrUnavailable) && c.disconnect != nil {
		c.disconnect(err)
		c.markUnreachable(err)
	}
}

// gone notes, once, that the engine does not answer. Nothing is concluded about the bottles.
func (c *Controller) markUnreachable(err error) {
	if err == nil {
		err = engine.ErrUnavailable
	}
	e := &c.status.Engine
	if !e.Reachable && !e.Since.IsZero() {
		e.Error = err.Error()
		return
	}
	*e = reconciler.EngineStatus{Since: time.Now(), Error: err.Error()}
	clear(c.deadSince) // what happens from now on is not heard
	clear(c.killRequested)
	c.notifySubscribers()
	c.Log.Error().Err(err).Msg("the engine does not answer; the bottles are left as they are until it does")
}

// back notes that the engine answers, and takes up where it was.
func (c *Controller) markReachable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.status.Engine
	if !e.Since.IsZero() && !e.Reachable {
		c.Metrics.reconnects.Inc()
		c.Log.Info().Dur("gone_ms", time.Since(e.Since)).Msg("the engine answers again")
	}
	*e = reconciler.EngineStatus{Reachable: true, Since: time.Now()}
	for slug, b := range c.bottles {
		if !b.dirtySince.IsZero() { // it was woken while nothing could be done
			c.queue.Add(slug)
		}
	}
	c.notifySubscribers()
}

// hear takes an event of the engine for what it is: a hint which bottle to look at.
func (c *Controller) handleEvent(e engine.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastEvent = e.Time
	slug := c.bottleOf(e)
	if slug == "" {
		return
	}
	switch e.Kind {
	case engine.EventKillRequested:
		c.killRequested[e.Container] = e.Time
		return // the next event reports what it leads to
	case engine.EventEnded:
		if _, known := c.deadSince[e.Container]; !known {
			c.deadSince[e.Container] = time.Now()
		}
	case engine.EventStarted, engine.EventRemoved:
		c.Reconciler.Executor.Audit.Wake()
		delete(c.killRequested, e.Container)
		delete(c.deadSince, e.Container)
	case engine.EventUpdated:
		c.Reconciler.Observer.Cache.Forget(e.Container) // no listing shows it
	}
	b := c.bottle(slug)
	if b.status.Ready && e.Kind == engine.EventHealthy {
		return // as every container once, a minute after its start
	}
	if b.interrupt == nil {
		b.rechecks = recheckDelays
	}
	b.markDirty()
	c.enqueueAfter(slug, 0)
}

// An engine tells of a change before its listings and inspections show it: of a pause some milliseconds, of a death some
// 0.2 s (measured on 20.10), and no other event follows. So a bottle is looked at again after an event, and a part that
// died is asked about until it shows. What a pass does itself, it sees at its end.
var recheckDelays = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

const (
	dyingPoll  = 50 * time.Millisecond // at first; later a quarter of the time that it has taken
	dyingLimit = 10 * time.Second
)

// dyingFor is how long ago a part died that is said to run; 0 when there is none.
func (c *Controller) dyingFor(parts []reconciler.ComponentStatus) time.Duration {
	for _, p := range parts {
		if at, ok := c.deadSince[p.ID]; ok && p.State == engine.StateRunning {
			if ago := time.Since(at); ago < dyingLimit {
				return max(ago, 1)
			}
		}
	}
	return 0
}

func (c *Controller) isDying(plan plan.BottlePlan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dyingFor(plan.Components) > 0
}

func (c *Controller) bottleOf(e engine.Event) string {
	switch {
	case e.Owner == c.Reconciler.Settings.Owner:
		return e.Slug
	case e.Network == "":
		return ""
	}
	if slug := c.Reconciler.Observer.Cache.Slug(e.Container); slug != "" {
		return slug
	}
	slug := state.SlugOfNetwork(c.Reconciler.Settings.Prefix, e.Network)
	if _, known := c.bottles[slug]; known {
		return slug
	}
	return ""
}
