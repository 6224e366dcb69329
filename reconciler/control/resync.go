package control

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/queue"
)

func (c *Controller) tryResync(ctx context.Context, deep bool) {
	err := c.resync(ctx, deep)
	if err != nil && !errors.Is(err, engine.ErrUnavailable) && ctx.Err() == nil { // an engine that is gone is told once
		c.Log.Error().Err(err).Msg("resync failed; there will be another one")
	}
}

// want has a resync made.
func (c *Controller) requestResync() {
	select {
	case c.resyncRequested <- struct{}{}:
	default:
	}
}

// Sync asks for a full resync now, and returns how many will have been completed when it is done. What failed is tried
// again at once. With confirm, bottles are removed that are kept only because their removal looks like an accident.
func (c *Controller) Sync(confirm bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bottles {
		b.retryNow()
	}
	c.pruneConfirmed = c.pruneConfirmed || confirm
	c.requestResync()
	if c.resyncRunning {
		return c.status.Syncs + 2
	}
	return c.status.Syncs + 1
}

// resync looks at everything, and wakes the bottles for which there is something to do.
func (c *Controller) resync(ctx context.Context, deep bool) error {
	select {
	case c.resyncing <- struct{}{}:
		defer func() { <-c.resyncing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	snapshot, read, policy := c.snapshot, c.read, c.Prune
	switch left := time.Until(c.pruneNotBefore); {
	case c.pruneConfirmed:
		policy = plan.PruneAll
	case left > 0:
		policy = plan.PruneLater
		time.AfterFunc(left, c.requestResync)
	}
	c.resyncRunning, c.pruneConfirmed = true, false
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
	c.status.Syncs++
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

// trimQueue keeps a bottle's queue within bounds. supervise does that itself, unless it was taken over.
func (c *Controller) trimQueue(slug string) {
	removed, err := queue.Trim(c.Reconciler.Settings.QueueDir(slug))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Error().Str("bottle", slug).Err(err).Msg("the queue of proposals can't be kept within bounds; empty it by hand")
	}
	if removed > 0 {
		c.Log.Warn().Str("bottle", slug).Int("removed", removed).
			Msgf("supervise may have been taken over: the queue held more than it writes, and was trimmed; see bottled logs %s/supervise", slug)
	}
}

// saveCache keeps what inspections told for the next process, which can do without.
func (c *Controller) saveCache() {
	if err := c.Reconciler.Observer.Cache.Save(); err != nil {
		c.Log.Warn().Err(err).Msg("the next start will take longer")
	}
}

// adopt takes over what a look at everything found.
func (c *Controller) applyResync(plan plan.Plan) {
	c.recordHeld(plan)
	declared := bySlug(c.snapshot) // maybe newer than the plan
	seen := map[string]bool{}
	for _, p := range plan.Bottles {
		if p.Held != "" {
			p.Held = c.status.HeldReason
		}
		seen[p.Slug] = true
		b := c.bottle(p.Slug)
		if p.Remove && !b.removing {
			b.backoffs = nil // what failed before has nothing to do with it
		}
		b.removing = p.Remove
		switch {
		case b.interrupt != nil || b.isOutdated():
			c.queue.Add(p.Slug) // what was seen may be older than what its pass does
		case len(p.Steps) > 0:
			if until, _ := b.retryTime(time.Now()); until.IsZero() && p.Changes() {
				c.publishProgress(p)
			}
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

// hold notes which bottles are kept though they are not declared any more, and why.
func (c *Controller) recordHeld(plan plan.Plan) {
	why := ""
	if len(plan.Held) > 0 {
		why = plan.HeldWhy
	}
	if plan.PruneErr != nil {
		why += "; to remove them: bottled sync --prune-held"
	}
	if why != c.status.HeldReason && why != "" && time.Now().After(c.pruneNotBefore) {
		c.Log.Warn().Strs("bottles", plan.Held).Str("why", why).Msg("kept, though not declared any more")
	}
	c.status.Held, c.status.HeldReason = plan.Held, why
}

// drop forgets a bottle that neither is declared nor exists.
func (c *Controller) forgetBottle(slug string) {
	delete(c.bottles, slug)
	c.Reconciler.Forget(slug)
}
