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

// reconnectBackoff is the delay between attempts to connect to an engine that does not answer.
var reconnectBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 7, Cap: 5 * time.Second}

// keepConnected maintains the connection to the engine, and reconnects with backoff when it breaks.
func (c *Controller) keepConnected(ctx context.Context) {
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

// connectTimeout limits how long an engine may take to answer a ping and /info.
const connectTimeout = 30 * time.Second

// connect pings the engine and logs the guarantees that it does not enforce.
func (c *Controller) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, connectTimeout))
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

// watchEngine connects and handles the engine's events until the connection is lost. It starts with a resync, since earlier events
// may be missing: Docker keeps 256.
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

// logWarnings logs the guarantees that the engine does not enforce, when they changed.
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

// dropConnection closes the connection to an engine that does not answer. It ignores other errors.
func (c *Controller) dropConnection(err error) {
	if errors.Is(err, engine.ErrUnavailable) && c.disconnect != nil {
		c.disconnect(err)
		c.markUnreachable(err)
	}
}

// markUnreachable records that the engine does not answer, and logs it once. The bottles' statuses stay.
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
	clear(c.deadSince) // events are missed from now on
	clear(c.killRequested)
	c.recordEvent(reconciler.Event{Type: reconciler.EventWarning, Reason: reconciler.EventEngineLost, Message: err.Error()})
	c.Log.Error().Err(err).Msg("the engine does not answer; nothing is changed until it does")
}

// markReachable records that the engine answers, and enqueues the bottles that changed meanwhile.
func (c *Controller) markReachable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.status.Engine
	if !e.Since.IsZero() && !e.Reachable {
		c.Metrics.reconnects.Inc()
		c.recordEvent(reconciler.Event{Reason: reconciler.EventEngineFound, Message: fmt.Sprintf("it was gone for %s", time.Since(e.Since).Round(time.Millisecond))})
		c.Log.Info().Dur("gone_ms", time.Since(e.Since)).Msg("the engine answers again")
	}
	*e = reconciler.EngineStatus{Reachable: true, Since: time.Now()}
	for slug, b := range c.bottles {
		if !b.dirtySince.IsZero() { // it was enqueued while the engine was gone
			c.queue.Add(slug)
		}
	}
	c.notifySubscribers()
}

// handleEvent enqueues the bottle that an engine event is about. An event is a hint only: the pass observes the whole bottle.
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
		return // a further event follows if the container ends
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
		return // sent once by every container, a minute after its start
	}
	if b.interrupt == nil {
		b.rechecks = recheckDelays
	}
	b.markDirty()
	c.enqueueAfter(slug, 0)
}

// recheckDelays are the intervals between the passes after an event. Docker sends an event before its listings show the change
// (measured on 20.10: a pause some milliseconds, an exit 0.2 s), and sends no second one. A pass needs no recheck for its own
// changes.
var recheckDelays = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

const (
	deathPoll      = 50 * time.Millisecond // first interval between observations of an unlisted death; later a quarter of its age
	deathPollLimit = 10 * time.Second      // age from which the listing is believed instead of the event
)

// unlistedDeath returns the age of a component's death that the engine reported by an event and whose listing still says "running";
// 0 when there is none.
func (c *Controller) unlistedDeath(components []reconciler.ComponentStatus) time.Duration {
	for _, p := range components {
		if at, ok := c.deadSince[p.ID]; ok && p.State == engine.StateRunning {
			if age := time.Since(at); age < deathPollLimit {
				return max(age, 1)
			}
		}
	}
	return 0
}

func (c *Controller) hasUnlistedDeath(plan plan.BottlePlan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unlistedDeath(plan.Components) > 0
}

// bottleOf returns the name of the bottle that an event is about; "" for anybody else's. Network events carry no labels, so for
// those it uses the inspection cache, or the name of the network.
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
