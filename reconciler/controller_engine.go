package reconciler

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bot-bottle/bottled/state"
)

// reconnect is how long to wait before the next try to reach an engine that is gone.
var reconnect = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 7, Cap: 5 * time.Second}

// listen holds a session with the engine, and begins a new one when it breaks.
func (c *Controller) listen(ctx context.Context) {
	backoff := reconnect
	for ctx.Err() == nil {
		began := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.gone(err)
		c.mu.Unlock()
		if time.Since(began) > reconnect.Cap {
			backoff = reconnect
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

// session listens to the engine's events until it is lost. It begins with a look at everything, since what happened
// before is not known: an engine keeps its last 256 events at most.
func (c *Controller) session(ctx context.Context) error {
	engine := c.Reconciler.Observer.Engine
	if err := engine.Ping(ctx); err != nil {
		return err
	}
	gaps, err := c.Reconciler.Gaps(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.tellGaps(gaps)
	c.lose = cancel
	since := c.cursor
	if since.IsZero() {
		since = time.Now()
	}
	c.mu.Unlock()
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return engine.Events(both, since, c.hear) })
	group.Go(func() error {
		if err := c.resync(both, true); err != nil {
			return err
		}
		c.back()
		return nil
	})
	err = group.Wait()
	if lost := context.Cause(ctx); lost != nil {
		return lost
	}
	return err
}

// tellGaps logs what the engine can't keep closed, once as long as it stays the same.
func (c *Controller) tellGaps(gaps []string) {
	if slices.Equal(gaps, c.gaps) {
		return
	}
	c.gaps = gaps
	for _, gap := range gaps {
		c.Log.Warn().Msg(gap)
	}
	c.changed()
}

// lost ends the session with an engine that does not answer; other errors are none of the session's.
func (c *Controller) lost(err error) {
	if errors.Is(err, state.ErrUnavailable) && c.lose != nil {
		c.lose(err)
		c.gone(err)
	}
}

// gone notes, once, that the engine does not answer. Nothing is concluded about the bottles.
func (c *Controller) gone(err error) {
	if err == nil {
		err = state.ErrUnavailable
	}
	e := &c.status.Engine
	if !e.Reachable && !e.Since.IsZero() {
		e.Error = err.Error()
		return
	}
	*e = EngineStatus{Since: time.Now(), Error: err.Error()}
	clear(c.died) // what happens from now on is not heard
	clear(c.ordered)
	c.changed()
	c.Log.Error().Err(err).Msg("the engine does not answer; the bottles are left as they are until it does")
}

// back notes that the engine answers, and takes up where it was.
func (c *Controller) back() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.status.Engine
	if !e.Since.IsZero() && !e.Reachable {
		c.Metrics.reconnects.Inc()
		c.Log.Info().Dur("gone_ms", time.Since(e.Since)).Msg("the engine answers again")
	}
	*e = EngineStatus{Reachable: true, Since: time.Now()}
	for slug, b := range c.bottles {
		if !b.woken.IsZero() { // it was woken while nothing could be done
			c.queue.Add(slug)
		}
	}
	c.changed()
}

// hear takes an event of the engine for what it is: a hint which bottle to look at.
func (c *Controller) hear(e state.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursor = e.Time
	slug := c.slugOf(e)
	if slug == "" {
		return
	}
	switch e.Action {
	case "kill":
		if e.Signal != signalHUP {
			c.ordered[e.Container] = e.Time
		}
		return // what it leads to is told by the next event
	case "die":
		if _, known := c.died[e.Container]; !known {
			c.died[e.Container] = time.Now()
		}
	case "start", "destroy":
		c.Reconciler.Executor.Audit.Wake()
		delete(c.ordered, e.Container)
		delete(c.died, e.Container)
	case "update":
		c.Reconciler.Observer.Cache.Forget(e.Container) // no listing shows it
	}
	b := c.bottle(slug)
	if b.status.Ready && e.Action == "health_status: "+state.HealthHealthy {
		return // as every container once, a minute after its start
	}
	if b.interrupt == nil {
		b.echoes = echoes
	}
	b.noticed()
	c.lookAfter(slug, 0)
}

// An engine tells of a change before its listings and inspections show it: of a pause some milliseconds, of a death some
// 0.2 s (measured on 20.10), and no other event follows. So a bottle is looked at again after an event, and a part that
// died is asked about until it shows. What a pass does itself, it sees at its end.
var echoes = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

// signalHUP is how the engine's events name it.
const signalHUP = "1"

const (
	dyingPoll  = 50 * time.Millisecond // at first; later a quarter of the time that it has taken
	dyingLimit = 10 * time.Second
)

// dyingFor is how long ago a part died that is said to run; 0 when there is none.
func (c *Controller) dyingFor(parts []PartStatus) time.Duration {
	for _, p := range parts {
		if at, ok := c.died[p.id]; ok && p.State == state.StateRunning {
			if ago := time.Since(at); ago < dyingLimit {
				return max(ago, 1)
			}
		}
	}
	return 0
}

func (c *Controller) isDying(plan BottlePlan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dyingFor(plan.Parts) > 0
}

func (c *Controller) slugOf(e state.Event) string {
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
