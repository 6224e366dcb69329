package control

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/engine"
)

// dispatch runs the passes of queued bottles, side by side.
func (c *Controller) dispatch(ctx context.Context) {
	for {
		slug, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		c.passes.Go(func() {
			defer c.queue.Done(slug)
			c.pass(ctx, slug)
		})
	}
}

// pass reconciles one bottle. Whatever put its name into the queue, a pass takes everything that the bottle consists of into account:
//
//  1. beginPass: without an engine or a snapshot there is no pass; when they are there, a resync queues every bottle.
//  2. converge repeats, until there is nothing left to do: observeAndPlan (the stages observe to plan of pass.Reconciler.Once, for
//     this bottle), applyBackoff (minus the steps of what failed or crashed a moment ago), publishStart, ExecuteBottle.
//  3. Its outcome is one of five. Interrupted: a newer declaration or the end of the process ended its waits, and the bottle is queued
//     again. Engine lost: the connection is dropped. Gone: the bottle neither is declared nor exists, and is forgotten. Failed: what
//     failed is put in backoff (recordFailure). Done.
//  4. finishPass publishes the status, and queues the bottle for the time when the backoff ends.
//
// After an event, and while a component is dying, the bottle is queued once more (recheckDelays).
func (c *Controller) pass(ctx context.Context, slug string) {
	ctx, end := c.beginPass(ctx, slug)
	if ctx == nil {
		return // when the engine is back everything is looked at
	}
	began := time.Now()
	c.trimQueue(slug)
	plan, changed, err := c.converge(ctx, slug)
	interrupted := context.Cause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	end()
	dying := c.dyingFor(plan.Components)
	if !changed {
		c.bottle(slug).checkLimiter.Allow()
	}
	outcome := "done"
	switch {
	case interrupted != nil:
		outcome = "interrupted"
		if errors.Is(interrupted, errSuperseded) {
			c.queue.Add(slug)
		}
	case errors.Is(err, engine.ErrUnavailable):
		outcome = "engine lost"
		c.dropConnection(err)
	case plan.Slug == "":
		c.forgetBottle(slug) // neither declared nor there any more
	default:
		if err != nil && plan.Err == nil {
			outcome = "failed"
			c.recordFailure(slug, err)
			err = nil // finishPass finds it in the backoff
		}
		if dying > 0 {
			c.queue.AddAfter(slug, max(dyingPoll, dying/4))
			break
		}
		if b := c.bottle(slug); len(b.rechecks) > 0 && c.enqueueAfter(slug, b.rechecks[0]) {
			b.rechecks = b.rechecks[1:]
		}
		c.finishPass(slug, plan, err)
		b := c.bottle(slug)
		if b.status.Ready && changed && !b.dirtySince.IsZero() {
			c.Metrics.readySeconds.Observe(time.Since(b.dirtySince).Seconds())
		}
		b.dirtySince, b.resuming = time.Time{}, false
	}
	if b := c.bottles[slug]; b != nil && !b.nextCheck.IsZero() {
		c.queue.AddAfter(slug, time.Until(b.nextCheck)) // the queue knows the earliest time only, and this pass may have been for it
	}
	c.notifySubscribers()
	c.Metrics.passes.WithLabelValues(outcome).Inc()
	c.Metrics.passSeconds.WithLabelValues(fmt.Sprint(changed)).Observe(time.Since(began).Seconds())
}

// beginPass marks the bottle's pass as under way; nil: there is none without an engine.
func (c *Controller) beginPass(ctx context.Context, slug string) (pass context.Context, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read || !c.status.Engine.Reachable || ctx.Err() != nil {
		return nil, nil
	}
	pass, cancel := context.WithCancelCause(ctx)
	b := c.bottle(slug)
	b.interrupt = cancel
	if time.Until(b.nextCheck) < checkSlack {
		b.nextCheck = time.Time{}
	}
	return pass, func() {
		b.interrupt = nil
		cancel(nil)
	}
}

// converge observes, plans and executes until there is nothing left to do. It returns the last plan.
func (c *Controller) converge(ctx context.Context, slug string) (plan plan.BottlePlan, changed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			// One bottle's fault must not take the others' keeper away.
			c.Log.Error().Str("bottle", slug).Bytes("stack", debug.Stack()).Msgf("panic: %v", p)
			plan.Slug, err = slug, fmt.Errorf("internal error: %v", p)
		}
	}()
	for attempt := 1; ; attempt++ {
		plan, err = c.observeAndPlan(ctx, slug)
		if err != nil || plan.Err != nil || plan.Slug == "" {
			return plan, changed, errors.Join(err, plan.Err)
		}
		plan = c.applyBackoff(ctx, plan)
		if c.isDying(plan) {
			return plan, changed, nil // the picture is wrong, and will be looked at again
		}
		if !plan.Changes() {
			return plan, changed, c.Reconciler.ExecuteBottle(ctx, plan) // the record of the declaration may be a new one
		}
		if attempt > pass.Attempts {
			return plan, changed, fmt.Errorf("it is not as declared after %d passes: %s", pass.Attempts, pass.DescribeSteps(plan.Steps))
		}
		changed = true
		drift := c.publishStart(plan)
		if err = c.Reconciler.ExecuteBottle(ctx, plan); err != nil && !errors.Is(err, execute.ErrStale) {
			return plan, changed, err
		}
		if err == nil {
			c.count(c.Metrics.repaired, plan, drift)
			continue
		}
		select {
		case <-ctx.Done():
			return plan, changed, ctx.Err()
		case <-time.After(pass.RetryDelay(attempt)):
		}
	}
}

// observeAndPlan plans one bottle. A plan without a slug: the bottle neither is declared nor exists.
func (c *Controller) observeAndPlan(ctx context.Context, slug string) (plan.BottlePlan, error) {
	select {
	case c.observeSlots <- struct{}{}:
	case <-ctx.Done():
		return plan.BottlePlan{Slug: slug}, context.Cause(ctx)
	}
	defer func() { <-c.observeSlots }()
	c.mu.Lock()
	only := c.snapshot.Only(slug)
	options := pass.Options{Prune: plan.PruneNone, Slug: slug}
	if c.bottle(slug).removing && len(c.snapshot.Unsettled)+len(c.snapshot.UnknownDocuments()) == 0 {
		options.Prune = plan.PruneAll
	}
	held := c.status.HeldReason
	c.mu.Unlock()
	planned, err := c.Reconciler.Plan(ctx, only, options)
	switch {
	case err != nil:
		return plan.BottlePlan{Slug: slug}, err
	case len(planned.Bottles) == 0:
		return plan.BottlePlan{}, nil
	}
	b := planned.Bottles[0]
	if b.Slug != slug || len(planned.Bottles) > 1 {
		return plan.BottlePlan{Slug: slug}, fmt.Errorf("internal error: a look at bottle %s found %d, the first of them %s", slug, len(planned.Bottles), b.Slug)
	}
	if b.Held != "" {
		if b.Held = held; held == "" {
			b.Held = "it was not declared when everything was looked at last"
		}
	}
	return b, nil
}

// publishStart publishes that a plan is carried out, and returns whether it repairs drift: a change that is none of the declaration.
func (c *Controller) publishStart(plan plan.BottlePlan) (drift bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	drift = plan.Desired != nil && plan.Desired.SpecHash == b.status.ObservedSpecHash
	c.count(c.Metrics.found, plan, drift)
	c.publishProgress(plan)
	return drift
}

// onProgress counts starts. It is called by the executor.
func (c *Controller) onProgress(e execute.Progress) {
	if e.Done || e.Step == nil || e.Step.Action != plan.Start {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(e.Slug)
	h := b.backoffOf(e.Step.Component)
	h.started = time.Now()
	if !e.Step.LastRun.IsZero() && !b.resuming {
		h.restarts++
	}
}

// publishProgress publishes that a plan waits for its turn, or is carried out.
func (c *Controller) publishProgress(planned plan.BottlePlan) {
	b := c.bottle(planned.Slug)
	b.setRestarts(planned.Components)
	status := plan.StatusOf(planned, nil)
	status.Generation, status.ObservedGeneration = b.status.Generation, b.status.ObservedGeneration
	status.SpecHash, status.ObservedSpecHash = b.status.SpecHash, b.status.ObservedSpecHash
	if b.isStalled() {
		b.publish(status, stalled) // another try is no progress yet
	} else {
		b.publish(status, working)
	}
	c.notifySubscribers()
}

func (c *Controller) count(counter *prometheus.CounterVec, plan plan.BottlePlan, drift bool) {
	if !drift {
		return
	}
	for _, s := range plan.Steps {
		counter.WithLabelValues(string(s.Action)).Inc()
	}
}

// finishPass publishes the status of a bottle after a pass, and queues it for the end of its backoff.
func (c *Controller) finishPass(slug string, planned plan.BottlePlan, err error) {
	b := c.bottle(slug)
	until, why := b.retryTime(time.Now())
	if !until.IsZero() {
		c.queue.AddAfter(slug, time.Until(until))
		if err == nil {
			err = why
		}
	} else if err == nil {
		b.resetBackoff(planned.Components)
	}
	b.setRestarts(planned.Components)
	status := plan.StatusOf(planned, err)
	if errors.Is(err, errCrashing) {
		status.Reason = reconciler.ReasonCrashing
	}
	if planned.Components == nil {
		status.Components = b.status.Components // it could not be looked at
	}
	if b.generation != 0 {
		status.Generation, status.SpecHash = b.generation, b.specHash
	}
	status.ObservedGeneration, status.ObservedSpecHash = status.Generation, status.SpecHash // whatever came of it
	phase := settled
	switch {
	case b.isStalled() || planned.Err != nil || planned.Stale != nil || planned.Held != "":
		phase = stalled
	case !until.IsZero():
		phase = retrying
	}
	// What is in backoff was logged when it failed.
	if before := b.status; until.IsZero() && (before.Reason != status.Reason || before.Message != status.Message) {
		c.logTransition(status, b.dirtySince)
	}
	b.publish(status, phase)
}

// logTransition logs a bottle's new state.
func (c *Controller) logTransition(s reconciler.BottleStatus, woken time.Time) {
	switch {
	case s.Reason == reconciler.ReasonHeld: // told for all of them at once
	case s.Ready && woken.IsZero():
		c.Log.Info().Str("bottle", s.Slug).Msg("ready")
	case s.Ready:
		c.Log.Info().Str("bottle", s.Slug).Dur("took_ms", time.Since(woken)).Msg("ready")
	case s.Reason == reconciler.ReasonSuspend:
		c.Log.Info().Str("bottle", s.Slug).Msg("suspended")
	default:
		c.Log.Warn().Str("bottle", s.Slug).Str("reason", s.Reason).Str("why", s.Message).Msg("not ready")
	}
}
