package control

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/queue"
)

// confirmationLasts is how long Sync's confirmation holds while resyncs fail or the manifests are not settled.
const confirmationLasts = 2 * time.Minute

// resyncRetry is how long after a failed resync the next one begins.
const resyncRetry = time.Second

// tryResync resyncs, and has it tried again after a failure. An engine that does not answer is logged by markUnreachable, and
// resynced with when it does.
func (c *Controller) tryResync(ctx context.Context, deep bool) {
	err := c.resync(ctx, deep)
	if err != nil && !errors.Is(err, engine.ErrUnavailable) && ctx.Err() == nil {
		c.Log.Error().Err(err).Msg("resync failed; it is tried again")
		time.AfterFunc(reconciler.Jitter(resyncRetry), c.requestResync)
	}
}

// requestResync requests a deep resync without waiting for it.
func (c *Controller) requestResync() {
	select {
	case c.resyncRequested <- struct{}{}:
	default:
	}
}

// Sync requests a full resync now and ends all backoffs. It returns the value of Status.Controller.Syncs once that resync is done.
// With confirm, the resync also prunes bottles that the prune guard holds.
//
// A resync of a snapshot that is not settled is none that was asked for: what was saved or removed a moment ago may not be part of it.
func (c *Controller) Sync(confirm bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bottles {
		b.retryNow()
	}
	c.Reconciler.TokenCommands.Retry()
	if confirm {
		c.pruneConfirmed = time.Now().Add(confirmationLasts)
	}
	c.requestResync()
	if c.resyncRunning {
		return c.status.Syncs + 2
	}
	return c.status.Syncs + 1
}

// resync plans all bottles from one observation and enqueues those whose plan has steps. deep ignores the inspection cache.
func (c *Controller) resync(ctx context.Context, deep bool) error {
	select {
	case c.resyncing <- struct{}{}:
		defer func() { <-c.resyncing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	snapshot, read, settled, policy := c.snapshot, c.snapshotRead, !c.unsettled, c.Prune
	confirmed := time.Now().Before(c.pruneConfirmed)
	switch left := time.Until(c.pruneNotBefore); {
	case confirmed:
		policy = plan.PruneAll
	case left > 0:
		policy = plan.PruneLater
		time.AfterFunc(left, c.requestResync)
	}
	c.resyncRunning = true
	c.mu.Unlock()
	plan, err := plan.Plan{}, error(nil)
	if read {
		plan, err = c.Reconciler.Plan(ctx, snapshot, pass.Options{Prune: policy, Deep: deep})
	}
	c.mu.Lock()
	c.resyncRunning = false
	if err != nil {
		c.dropConnection(err)
		c.mu.Unlock()
		return err
	}
	if read {
		c.applyResync(plan)
	}
	slugs := slices.Collect(maps.Keys(c.bottles))
	if settled {
		c.status.Syncs++
		if confirmed {
			c.pruneConfirmed = time.Time{}
		}
	}
	c.resyncDeferred = !settled
	c.notifySubscribers()
	c.mu.Unlock()
	c.Metrics.resyncs.Inc()
	c.Reconciler.Executor.Audit.Wake()
	for _, slug := range slugs {
		c.trimQueue(slug)
	}
	c.saveCache()
	return nil
}

// trimQueue keeps a bottle's proposal queue within bounds. supervise does that itself, unless it was compromised.
func (c *Controller) trimQueue(slug string) {
	removed, err := queue.Trim(c.Reconciler.Settings.QueueDir(slug))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Error().Str("bottle", slug).Err(err).Msg("the proposal queue can't be trimmed; empty it by hand")
	}
	if removed > 0 {
		c.Log.Warn().Str("bottle", slug).Int("removed", removed).
			Msgf("trimmed the proposal queue: it held more than supervise writes, which may be compromised; see bottled logs %s/supervise", slug)
	}
}

// saveCache saves the inspection cache for the next process, which only starts faster with it.
func (c *Controller) saveCache() {
	if err := c.Reconciler.Observer.Cache.Save(); err != nil {
		c.Log.Warn().Err(err).Msg("can't save the inspection cache; the next start will take longer")
	}
}

// applyResync enqueues the bottles whose plan has steps, publishes the status of the others, and forgets those that are gone.
func (c *Controller) applyResync(plan plan.Plan) {
	c.recordHeld(plan)
	declared := bottlesByName(c.snapshot) // may be newer than the plan
	seen := map[string]bool{}
	for _, p := range plan.Bottles {
		if p.Held != "" {
			p.Held = c.status.HeldReason
		}
		seen[p.Slug] = true
		b := c.bottle(p.Slug)
		if p.Remove && !b.removing {
			b.backoffs = nil // earlier failures don't concern the removal
		}
		b.removing = p.Remove
		if b.hostsUntil.IsZero() { // otherwise a pass has set it, which may be newer
			c.expectEnd(p)
		}
		switch {
		case b.interrupt != nil || b.isOutdated():
			b.awaitedSince, b.answering = time.Now(), false
			c.queue.Add(p.Slug) // its pass, or the newer declaration, may have outdated the observation
		case len(p.Steps) > 0 || p.Runs != nil:
			if retryAt, _ := b.retryTime(time.Now()); retryAt.IsZero() && p.Changes() {
				c.publishProgress(p)
			}
			b.awaitedSince, b.answering = time.Now(), false
			c.enqueue(p.Slug)
		default:
			c.finishPass(p.Slug, p, p.Err)
		}
	}
	for slug, b := range c.bottles {
		if _, ok := declared[slug]; !ok && !seen[slug] && b.interrupt == nil {
			c.forgetBottle(slug)
		}
	}
}

// recordHeld records and logs the undeclared bottles that the prune guard holds, with the reason.
func (c *Controller) recordHeld(plan plan.Plan) {
	reason := ""
	if len(plan.Held) > 0 {
		reason = plan.HeldWhy
	}
	if plan.PruneErr != nil {
		reason += "; to remove them: bottled sync --prune-held"
	}
	if reason != c.status.HeldReason && reason != "" && time.Now().After(c.pruneNotBefore) {
		c.Log.Warn().Strs("bottles", plan.Held).Str("reason", reason).Msg("kept, though not declared any more")
	}
	c.status.Held, c.status.HeldReason = plan.Held, reason
}

// forgetBottle drops the state of a bottle that is neither declared nor present, except for its events.
func (c *Controller) forgetBottle(slug string) {
	if c.bottles[slug] != nil {
		c.recordEvent(reconciler.Event{Bottle: slug, Reason: reconciler.EventRemoved, Message: "it is not declared, and nothing of it is left"})
	}
	delete(c.bottles, slug)
	c.Ports.Set(slug, "", nil)
	c.Metrics.denied.DeletePartialMatch(prometheus.Labels{"bottle": slug})
	c.Metrics.rejected.DeletePartialMatch(prometheus.Labels{"bottle": slug})
	c.Reconciler.Forget(slug)
}
