package reconciler

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/state"
)

// dispatch makes the passes of the bottles that were woken, each beside the others.
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

// pass makes one bottle as declared, and settles when to look again.
func (c *Controller) pass(ctx context.Context, slug string) {
	ctx, end := c.begin(ctx, slug)
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
	dying := c.dyingFor(plan.Parts)
	if !changed {
		c.bottle(slug).looks.Allow()
	}
	outcome := "done"
	switch {
	case interrupted != nil:
		outcome = "interrupted"
		if errors.Is(interrupted, errSuperseded) {
			c.queue.Add(slug)
		}
	case errors.Is(err, state.ErrUnavailable):
		outcome = "engine lost"
		c.lost(err)
	case plan.Slug == "":
		c.drop(slug) // neither declared nor there any more
	default:
		if err != nil && plan.Err == nil {
			outcome = "failed"
			c.failed(slug, err)
			err = nil // settle finds it in the history
		}
		if dying > 0 {
			c.queue.AddAfter(slug, max(dyingPoll, dying/4))
			break
		}
		if b := c.bottle(slug); len(b.echoes) > 0 && c.lookAfter(slug, b.echoes[0]) {
			b.echoes = b.echoes[1:]
		}
		c.settle(slug, plan, err)
		b := c.bottle(slug)
		if b.status.Ready && changed && !b.woken.IsZero() {
			c.Metrics.readySeconds.Observe(time.Since(b.woken).Seconds())
		}
		b.woken, b.resuming = time.Time{}, false
	}
	if b := c.bottles[slug]; b != nil && !b.due.IsZero() {
		c.queue.AddAfter(slug, time.Until(b.due)) // the queue knows the earliest time only, and this pass may have been for it
	}
	c.changed()
	c.Metrics.passes.WithLabelValues(outcome).Inc()
	c.Metrics.passSeconds.WithLabelValues(fmt.Sprint(changed)).Observe(time.Since(began).Seconds())
}

// begin marks the bottle's pass as under way; without an engine there is none.
func (c *Controller) begin(ctx context.Context, slug string) (pass context.Context, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read || !c.status.Engine.Reachable || ctx.Err() != nil {
		return nil, nil
	}
	pass, cancel := context.WithCancelCause(ctx)
	b := c.bottle(slug)
	b.interrupt = cancel
	if time.Until(b.due) < beginning {
		b.due = time.Time{}
	}
	return pass, func() {
		b.interrupt = nil
		cancel(nil)
	}
}

// converge looks, plans and acts until there is nothing left to do. The plan it returns is of the last look.
func (c *Controller) converge(ctx context.Context, slug string) (plan BottlePlan, changed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			// One bottle's fault must not take the others' keeper away.
			c.Log.Error().Str("bottle", slug).Bytes("stack", debug.Stack()).Msgf("panic: %v", p)
			plan.Slug, err = slug, fmt.Errorf("internal error: %v", p)
		}
	}()
	for attempt := 1; ; attempt++ {
		plan, err = c.look(ctx, slug)
		if err != nil || plan.Err != nil || plan.Slug == "" {
			return plan, changed, errors.Join(err, plan.Err)
		}
		plan = c.holdBack(ctx, plan)
		if c.isDying(plan) {
			return plan, changed, nil // the picture is wrong, and will be looked at again
		}
		if !plan.Changes() {
			return plan, changed, c.Reconciler.Executor.Bottle(ctx, plan) // the record of the declaration may be a new one
		}
		if attempt > attempts {
			return plan, changed, fmt.Errorf("it is not as declared after %d passes: %s", attempts, describeSteps(plan.Steps))
		}
		changed = true
		drift := c.show(plan)
		if err = c.Reconciler.Executor.Bottle(ctx, plan); err != nil && !errors.Is(err, errStale) {
			return plan, changed, err
		}
		if err == nil {
			c.count(c.Metrics.repaired, plan, drift)
			continue
		}
		select {
		case <-ctx.Done():
			return plan, changed, ctx.Err()
		case <-time.After(time.Duration(attempt) * 200 * time.Millisecond):
		}
	}
}

// look plans one bottle. A plan without a slug: it is not declared, and nothing of it is there.
func (c *Controller) look(ctx context.Context, slug string) (BottlePlan, error) {
	c.looks <- struct{}{}
	defer func() { <-c.looks }()
	c.mu.Lock()
	only := c.snapshot.Only(slug)
	options := Options{Prune: PruneNone, slug: slug}
	if c.bottle(slug).removing && len(c.snapshot.Unsettled)+len(c.snapshot.UnknownDocuments()) == 0 {
		options.Prune = PruneAll
	}
	held := c.status.HeldReason
	c.mu.Unlock()
	plan, err := c.Reconciler.Plan(ctx, only, options)
	switch {
	case err != nil:
		return BottlePlan{Slug: slug}, err
	case len(plan.Bottles) == 0:
		return BottlePlan{}, nil
	}
	b := plan.Bottles[0]
	if b.Slug != slug || len(plan.Bottles) > 1 {
		return BottlePlan{Slug: slug}, fmt.Errorf("internal error: a look at bottle %s found %d, the first of them %s", slug, len(plan.Bottles), b.Slug)
	}
	if b.Held != "" {
		if b.Held = held; held == "" {
			b.Held = "it was not declared when everything was looked at last"
		}
	}
	return b, nil
}

// show tells that a plan is carried out, and whether it repairs what somebody or something else changed.
func (c *Controller) show(plan BottlePlan) (drift bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	drift = plan.Generation != "" && plan.Generation == b.status.ObservedGeneration
	c.count(c.Metrics.found, plan, drift)
	c.begun(plan)
	return drift
}

// stepped notes what is started. It is called by the executor.
func (c *Controller) stepped(e Event) {
	if e.Done || e.Step == nil || e.Step.Action != Start {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(e.Slug)
	h := b.of(e.Step.Part)
	h.started = time.Now()
	if !e.Step.lastRun.IsZero() && !b.resuming {
		h.restarts++
	}
}

// begun tells that a plan waits for its turn, or is carried out.
func (c *Controller) begun(plan BottlePlan) {
	b := c.bottle(plan.Slug)
	b.restarts(plan.Parts)
	status := StatusOf(plan, nil)
	status.Generation, status.ObservedGeneration = b.status.Generation, b.status.ObservedGeneration
	if b.hopeless() {
		b.publish(status, stalled) // another try is no progress yet
	} else {
		b.publish(status, working)
	}
	c.changed()
}

func (c *Controller) count(counter *prometheus.CounterVec, plan BottlePlan, drift bool) {
	if !drift {
		return
	}
	for _, s := range plan.Steps {
		if !s.Record {
			counter.WithLabelValues(string(s.Action)).Inc()
		}
	}
}

// settle publishes how a bottle is after a look, and has it looked at again when something is held back.
func (c *Controller) settle(slug string, plan BottlePlan, err error) {
	b := c.bottle(slug)
	until, why := b.held(time.Now())
	if !until.IsZero() {
		c.queue.AddAfter(slug, time.Until(until))
		if err == nil {
			err = why
		}
	} else if err == nil {
		b.recovered(plan.Parts)
	}
	b.restarts(plan.Parts)
	status := StatusOf(plan, err)
	if errors.Is(err, errCrashing) {
		status.Reason = ReasonCrashing
	}
	if plan.Parts == nil {
		status.Parts = b.status.Parts // it could not be looked at
	}
	if b.declared != "" {
		status.Generation = b.declared
	}
	status.ObservedGeneration = status.Generation // whatever came of it
	phase := settled
	switch {
	case b.hopeless() || plan.Err != nil || plan.Stale != nil || plan.Held != "":
		phase = stalled
	case !until.IsZero():
		phase = retrying
	}
	// What is held back was told when it failed.
	if before := b.status; until.IsZero() && (before.Reason != status.Reason || before.Message != status.Message) {
		c.tell(status, b.woken)
	}
	b.publish(status, phase)
}

// tell logs a bottle's new state.
func (c *Controller) tell(s BottleStatus, woken time.Time) {
	switch {
	case s.Reason == ReasonHeld: // told for all of them at once
	case s.Ready && woken.IsZero():
		c.Log.Info().Str("bottle", s.Slug).Msg("ready")
	case s.Ready:
		c.Log.Info().Str("bottle", s.Slug).Dur("took_ms", time.Since(woken)).Msg("ready")
	case s.Reason == ReasonSuspend:
		c.Log.Info().Str("bottle", s.Slug).Msg("suspended")
	default:
		c.Log.Warn().Str("bottle", s.Slug).Str("reason", s.Reason).Str("why", s.Message).Msg("not ready")
	}
}
