package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	initialBackoff = time.Second     // doubles with each failure
	maxBackoff     = 5 * time.Minute // the kubelet's
	// stableAfter is the run time after which the crash count starts from zero.
	stableAfter = time.Minute
	// stalledAfter is the number of consecutive failures from which a bottle counts as stalled.
	stalledAfter = 3
)

// errCrashing marks a component in a crash loop.
var errCrashing = errors.New("it ends again and again")

// backoff is the failure state of a component, or under "" of the bottle as a whole, since its declaration.
type backoff struct {
	failures int       // failed steps in a row
	crashes  int       // unrequested ends in a row
	restarts int       // starts after an end
	ended    time.Time // the last end that was counted
	started  time.Time // the last start by this controller
	retryAt  time.Time // no step before
	reason   error     // of the last failure
}

// backoffDelay returns the delay before attempt n+1, after n failures in a row.
func backoffDelay(n int) time.Duration {
	d := initialBackoff
	for ; n > 1 && d < maxBackoff; n-- {
		d *= 2
	}
	return reconciler.Jitter(min(d, maxBackoff))
}

// backoffOf returns the backoff state of a component, which it creates if needed.
func (b *bottle) backoffOf(component state.ComponentName) *backoff {
	if b.backoffs == nil {
		b.backoffs = map[state.ComponentName]*backoff{}
	}
	if b.backoffs[component] == nil {
		b.backoffs[component] = &backoff{}
	}
	return b.backoffs[component]
}

// retryTime returns the earliest end of the bottle's backoffs, and all their reasons; the zero time when nothing is in backoff.
func (b *bottle) retryTime(now time.Time) (retryAt time.Time, reason error) {
	for _, component := range slices.Sorted(maps.Keys(b.backoffs)) {
		f := b.backoffs[component]
		if f.retryAt.After(now) {
			if retryAt.IsZero() || f.retryAt.Before(retryAt) {
				retryAt = f.retryAt
			}
			reason = errors.Join(reason, f.reason)
		}
	}
	return retryAt, reason
}

// isStalled reports whether a component failed or crashed stalledAfter times in a row.
func (b *bottle) isStalled() bool {
	for _, f := range b.backoffs {
		if f.failures >= stalledAfter || f.crashes >= stalledAfter {
			return true
		}
	}
	return false
}

// isOutdated reports whether the bottle has a newer declaration than its last pass reconciled.
func (b *bottle) isOutdated() bool { return b.status.Generation != b.status.ObservedGeneration }

// resetBackoff clears all failures, and the crashes of components that have run for stableAfter.
func (b *bottle) resetBackoff(components []reconciler.ComponentStatus) {
	for _, f := range b.backoffs {
		f.failures = 0
	}
	for _, c := range components {
		if f := b.backoffs[c.Component]; f != nil && c.Ready && time.Since(f.started) > stableAfter {
			f.crashes = 0
		}
	}
}

// setRestarts fills in the components' restart counts.
func (b *bottle) setRestarts(components []reconciler.ComponentStatus) {
	for i, c := range components {
		if f := b.backoffs[c.Component]; f != nil {
			components[i].Restarts = f.restarts
		}
	}
}

// retryNow ends all backoffs and clears the failure counts.
func (b *bottle) retryNow() {
	for _, f := range b.backoffs {
		f.failures, f.crashes, f.retryAt = 0, 0, time.Time{}
	}
}

// recordFailure puts the components whose steps failed in backoff, or the whole bottle when it was no step that failed.
func (c *Controller) recordFailure(slug string, err error) {
	reasons := map[state.ComponentName]error{}
	for _, failed := range execute.StepErrors(err) {
		component := failed.Step.Component
		reasons[component] = errors.Join(reasons[component], failed)
	}
	if len(reasons) == 0 {
		reasons[""] = err
	}
	for component, reason := range reasons {
		if len(reasons) == 1 {
			reason = err // includes failures that are no step's, such as the clean-up
		}
		c.backOff(slug, component, reason)
	}
}

// backOff puts a component in backoff, for twice as long with each failure in a row.
func (c *Controller) backOff(slug string, component state.ComponentName, err error) {
	f := c.bottle(slug).backoffOf(component)
	f.failures++
	f.retryAt, f.reason = time.Now().Add(backoffDelay(f.failures)), err
	if f.failures > 1 && errors.Is(err, engine.ErrEnded) {
		f.reason = fmt.Errorf("%w (%d times): %w", errCrashing, f.failures, err)
	}
	c.recordEvent(reconciler.Event{
		Bottle: slug, Component: component, Type: reconciler.EventWarning, Reason: reconciler.EventFailed, Message: f.reason.Error(), RetryAt: f.retryAt,
	})
	c.Log.Error().Str("bottle", slug).Str("component", string(component)).Int("failures", f.failures).
		Dur("next_try_ms", time.Until(f.retryAt)).Err(err).Msg("failed; retrying after a backoff")
}

// applyBackoff returns the plan minus the steps of components in backoff.
func (c *Controller) applyBackoff(ctx context.Context, plan plan.BottlePlan) plan.BottlePlan {
	c.recordCrashes(ctx, plan)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	held := map[state.ComponentName]string{}
	for component, f := range b.backoffs {
		if f.retryAt.After(time.Now()) {
			held[component] = fmt.Sprintf("%v; next try at %s", f.reason, f.retryAt.Format(time.TimeOnly))
		}
	}
	return plan.Without(held)
}

// recordCrashes puts the components that crashed repeatedly in backoff. After its first crash a component is restarted at once.
func (c *Controller) recordCrashes(ctx context.Context, plan plan.BottlePlan) {
	for _, p := range plan.Components {
		if p.State != engine.StateExited || p.Ended != nil || p.Component.IsSession() || plan.Desired != nil && plan.Desired.Suspended || plan.Remove {
			continue
		}
		n := c.countCrash(plan.Slug, p)
		if n < 2 {
			continue
		}
		c.mu.Lock()
		started := c.bottle(plan.Slug).backoffOf(p.Component).started
		c.mu.Unlock()
		last, err := engine.QuoteLog(ctx, c.Reconciler.Observer.Engine, p.ID, started)
		c.mu.Lock()
		f := c.bottle(plan.Slug).backoffOf(p.Component)
		f.retryAt = time.Now().Add(backoffDelay(n - 1))
		f.reason = errors.Join(fmt.Errorf("%s: %w (%d times): %s%s", p.Component, errCrashing, n, p.Cause, last), err)
		c.recordEvent(reconciler.Event{
			Bottle: plan.Slug, Component: p.Component, Type: reconciler.EventWarning, Reason: reconciler.EventCrashed, Message: f.reason.Error(), RetryAt: f.retryAt,
		})
		c.Log.Warn().Str("bottle", plan.Slug).Str("component", string(p.Component)).Int("crashes", n).
			Dur("next_try_ms", time.Until(f.retryAt)).Err(f.reason).Msg("crashed; restarting after a backoff")
		c.mu.Unlock()
	}
}

// countCrash counts the end of a component, once, and returns the number of crashes in a row; 0 when it is no new crash.
func (c *Controller) countCrash(slug string, p reconciler.ComponentStatus) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.bottle(slug).backoffOf(p.Component)
	if f.ended.Equal(p.EndedAt) {
		return 0
	}
	f.ended = p.EndedAt
	if f.started.IsZero() {
		return 0 // started before this controller, or under an older declaration
	}
	if _, ok := c.killRequested[p.ID]; ok || f.failures > 0 { // a failed start is counted as a failure
		return 0
	}
	if p.EndedAt.Sub(f.started) > stableAfter {
		f.crashes = 0
	}
	f.crashes++
	return f.crashes
}
