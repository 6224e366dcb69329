package control

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// dispatch runs a pass for each name in the queue, concurrently. The queue never hands out a name twice at a time.
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

// pass reconciles one bottle. A bottle's name comes out of the queue because its declaration changed (enqueueChanged), the engine
// sent an event (handleEvent), a resync found drift (applyResync), a backoff ended, or a recheck is due; the pass does not care
// which, and proceeds as follows:
//
//  1. beginPass makes the pass interruptible. While the engine does not answer there is no pass: the resync after the reconnect
//     enqueues again what changed meanwhile.
//  2. converge observes and plans (observeAndPlan), drops the steps of components in backoff (applyBackoff, which also counts
//     crashes), publishes the start (publishStart) and executes the plan; again until a plan changes nothing, since executing may
//     reveal more drift, and a plan may turn out stale. It gives up after pass.Attempts plans.
//  3. The outcome decides what follows (endPass). An interrupted pass is queued again if a newer declaration superseded it. A lost
//     engine ends the connection. A bottle that is neither declared nor present is forgotten. Otherwise failures put their
//     components in backoff (recordFailure), and finishPass publishes the status and conditions, and schedules the retry.
//
// Controller.mu is held while state is read or changed, never during a call of the engine.
func (c *Controller) pass(ctx context.Context, slug string) {
	ctx, end := c.beginPass(ctx, slug)
	if ctx == nil {
		return
	}
	began := time.Now()
	c.trimQueue(slug)
	plan, changed, err := c.converge(ctx, slug)
	interrupted := context.Cause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	end()
	if !changed {
		c.bottle(slug).checkLimiter.Allow()
	}
	outcome := c.endPass(slug, plan, changed, err, interrupted)
	if b := c.bottles[slug]; b != nil && !b.nextCheck.IsZero() {
		c.queue.AddAfter(slug, time.Until(b.nextCheck)) // the queue keeps only the earliest time, which this pass may have used up
	}
	c.notifySubscribers()
	c.Metrics.passes.WithLabelValues(outcome).Inc()
	c.Metrics.passSeconds.WithLabelValues(fmt.Sprint(changed)).Observe(time.Since(began).Seconds())
}

// endPass handles the result of a pass and returns its outcome, for the metrics.
func (c *Controller) endPass(slug string, plan plan.BottlePlan, changed bool, err, interrupted error) (outcome string) {
	switch {
	case interrupted != nil:
		if errors.Is(interrupted, errSuperseded) {
			c.queue.Add(slug)
		}
		return "interrupted"
	case errors.Is(err, engine.ErrUnavailable):
		c.dropConnection(err)
		return "engine lost"
	case plan.Slug == "":
		c.forgetBottle(slug)
		return "done"
	}
	outcome = "done"
	if err != nil && plan.Err == nil {
		outcome = "failed"
		c.recordFailure(slug, err)
		err = nil // the backoff has it as its reason
	}
	if age := c.unlistedDeath(plan.Components); age > 0 {
		c.queue.AddAfter(slug, max(deathPoll, age/4))
		return outcome
	}
	b := c.bottle(slug)
	if b.answering {
		b.awaitedSince, b.answering, b.ordered = time.Time{}, false, false
	}
	if len(b.rechecks) > 0 && c.enqueueAfter(slug, b.rechecks[0]) {
		b.rechecks = b.rechecks[1:]
	}
	c.finishPass(slug, plan, err)
	if b.status.Ready && changed && !b.dirtySince.IsZero() {
		c.Metrics.readySeconds.Observe(time.Since(b.dirtySince).Seconds())
	}
	b.dirtySince, b.resuming, b.ending = time.Time{}, false, false
	return outcome
}

// beginPass marks the bottle's pass as under way and makes it interruptible. It returns nil when no pass can be made: nothing was
// read yet, the engine does not answer, or the controller ends.
func (c *Controller) beginPass(ctx context.Context, slug string) (pass context.Context, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.snapshotRead || !c.status.Engine.Reachable || ctx.Err() != nil {
		return nil, nil
	}
	pass, cancel := context.WithCancelCause(ctx)
	b := c.bottle(slug)
	b.interrupt, b.answering = cancel, !b.awaitedSince.IsZero()
	if time.Until(b.nextCheck) < checkSlack {
		b.nextCheck = time.Time{}
	}
	return pass, func() {
		b.interrupt = nil
		cancel(nil)
	}
}

// converge observes, plans and executes until a plan changes nothing. It returns the last plan, and whether any plan changed
// something.
func (c *Controller) converge(ctx context.Context, slug string) (plan plan.BottlePlan, changed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			// A panic over one bottle must not end the controller, which keeps the others.
			c.Log.Error().Str("bottle", slug).Bytes("stack", debug.Stack()).Msgf("panic: %v", p)
			plan.Slug, err = slug, fmt.Errorf("internal error: %v", p)
		}
	}()
	for attempt := 1; ; attempt++ {
		plan, err = c.observeAndPlan(ctx, slug)
		if err != nil || plan.Err != nil && !plan.Changes() || plan.Slug == "" {
			return plan, changed, errors.Join(err, plan.Err)
		}
		plan = c.applyBackoff(ctx, plan)
		if c.hasUnlistedDeath(plan) {
			return plan, changed, nil // the observation is outdated; endPass schedules another
		}
		if !plan.Changes() {
			return plan, changed, c.Reconciler.ExecuteBottle(ctx, plan) // saves the record of a new declaration
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
			c.countDrift(c.Metrics.repaired, plan, drift)
			continue
		}
		select {
		case <-ctx.Done():
			return plan, changed, ctx.Err()
		case <-time.After(pass.RetryDelay(attempt)):
		}
	}
}

// observeAndPlan plans one bottle from a fresh observation. A plan without a Slug means that the bottle is neither declared nor
// present.
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
	c.mu.Lock()
	c.expectEnd(b)
	c.mu.Unlock()
	if b.Slug != slug || len(planned.Bottles) > 1 {
		return plan.BottlePlan{Slug: slug}, fmt.Errorf("internal error: the plan for bottle %s has %d bottles, the first is %s", slug, len(planned.Bottles), b.Slug)
	}
	if b.Held != "" {
		if b.Held = held; held == "" {
			b.Held = "it was not declared at the last resync"
		}
	}
	return b, nil
}

// publishStart publishes that a plan is being executed. It returns whether the plan repairs drift: the declaration is the one that
// was reconciled before.
func (c *Controller) publishStart(plan plan.BottlePlan) (drift bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	drift = plan.Desired != nil && plan.Desired.SpecHash == b.status.ObservedSpecHash && !b.ordered && !b.ending
	c.countDrift(c.Metrics.found, plan, drift)
	if drift {
		c.recordEvent(reconciler.Event{
			Bottle: plan.Slug, Type: reconciler.EventWarning, Reason: reconciler.EventDriftFound, Message: pass.DescribeSteps(plan.Steps),
		})
	}
	c.closePorts(plan)
	c.publishProgress(plan)
	return drift
}

// publishProgress publishes that a bottle is Reconciling: its plan waits for a slot or is being executed.
func (c *Controller) publishProgress(planned plan.BottlePlan) {
	b := c.bottle(planned.Slug)
	b.setRestarts(planned.Components)
	status := plan.StatusOf(planned, nil)
	status.Generation, status.ObservedGeneration = b.status.Generation, b.status.ObservedGeneration
	status.SpecHash, status.ObservedSpecHash = b.status.SpecHash, b.status.ObservedSpecHash
	if b.isStalled() {
		c.publish(b, status, stalled) // another try is no progress yet
	} else {
		c.publish(b, status, working)
	}
	c.notifySubscribers()
}

// countDrift counts a plan's steps, by action, if they repair drift.
func (c *Controller) countDrift(counter *prometheus.CounterVec, plan plan.BottlePlan, drift bool) {
	if !drift {
		return
	}
	for _, s := range plan.Steps {
		counter.WithLabelValues(string(s.Action)).Inc()
	}
}

// finishPass publishes a bottle's status after an observation, and schedules a pass for the end of its first backoff.
func (c *Controller) finishPass(slug string, planned plan.BottlePlan, err error) {
	b := c.bottle(slug)
	retryAt, reason := b.retryTime(time.Now())
	if !retryAt.IsZero() {
		c.queue.AddAfter(slug, time.Until(retryAt))
		if err == nil {
			err = reason
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
		status.Components = b.status.Components // it could not be observed
	}
	if b.generation != 0 {
		status.Generation, status.SpecHash = b.generation, b.specHash
	}
	status.ObservedGeneration, status.ObservedSpecHash = status.Generation, status.SpecHash // failed or not
	phase := settled
	switch {
	case errors.Is(errors.Join(planned.Err, planned.Stale), state.ErrPending):
		phase = retrying
	case b.isStalled() || status.Reason == reconciler.ReasonAgentFailed || planned.Err != nil || planned.Stale != nil || planned.Held != "":
		phase = stalled
	case !retryAt.IsZero():
		phase = retrying
	}
	// A backoff was logged with its failure.
	if before := b.status; retryAt.IsZero() && (before.Reason != status.Reason || before.Message != status.Message) {
		c.logTransition(status, b.dirtySince)
	}
	for _, w := range status.Warnings {
		if !slices.Contains(b.status.Warnings, w) {
			c.Log.Warn().Str("bottle", slug).Msg(w)
		}
	}
	status.RetryAt = retryAt
	c.servePorts(planned)
	c.publish(b, status, phase)
}

// logTransition logs a bottle's new status. dirtySince is the start of the change that led to it; zero for none.
func (c *Controller) logTransition(s reconciler.BottleStatus, dirtySince time.Time) {
	switch {
	case s.Reason == reconciler.ReasonHeld: // recordHeld logs all of them in one line
	case s.Ready && dirtySince.IsZero():
		c.Log.Info().Str("bottle", s.Slug).Msg("ready")
	case s.Ready:
		c.Log.Info().Str("bottle", s.Slug).Dur("took_ms", time.Since(dirtySince)).Msg("ready")
	case s.Reason == reconciler.ReasonSuspend:
		c.Log.Info().Str("bottle", s.Slug).Msg("suspended")
	case s.Reason == reconciler.ReasonCompleted:
		c.Log.Info().Str("bottle", s.Slug).Msg("completed")
	default:
		c.Log.Warn().Str("bottle", s.Slug).Str("reason", s.Reason).Str("details", s.Message).Msg("not ready")
	}
}
