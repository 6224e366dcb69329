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
	initialBackoff = time.Second     // before what failed is tried again; it doubles each time
	maxBackoff     = 5 * time.Minute // as the kubelet has it
	// stable is how long a part must have run not to count as crashing again.
	stableAfter = time.Minute
	// hopeless is how often something must fail in a row until somebody's help is asked for.
	stalledAfter = 3
)

// errCrashing marks a part that ends again and again.
var errCrashing = errors.New("it ends again and again")

// history is what went wrong with a part, or under "" with the bottle as a whole, since it was declared.
type backoff struct {
	failures int // of steps, in a row
	crashes  int // ends that nobody asked for, in a row
	restarts int
	ended    time.Time // the last end that was counted
	started  time.Time
	retryAt  time.Time // held back until then
	reason   error
}

// delay is how long to wait before the n-th try in a row.
func backoffDelay(n int) time.Duration {
	d := initialBackoff
	for ; n > 1 && d < maxBackoff; n-- {
		d *= 2
	}
	return reconciler.Jitter(min(d, maxBackoff))
}

// of returns the history of a part.
func (b *bottle) backoffOf(part state.ComponentName) *backoff {
	if b.backoffs == nil {
		b.backoffs = map[state.ComponentName]*backoff{}
	}
	if b.backoffs[part] == nil {
		b.backoffs[part] = &backoff{}
	}
	return b.backoffs[part]
}

// held says until when something of the bottle is held back, and why.
func (b *bottle) retryTime(now time.Time) (until time.Time, why error) {
	for _, component := range slices.Sorted(maps.Keys(b.backoffs)) {
		h := b.backoffs[component]
		if h.retryAt.After(now) {
			if until.IsZero() || h.retryAt.Before(until) {
				until = h.retryAt
			}
			why = errors.Join(why, h.reason)
		}
	}
	return until, why
}

// hopeless says whether something of the bottle failed too often in a row to go on hoping.
func (b *bottle) isStalled() bool {
	for _, h := range b.backoffs {
		if h.failures >= stalledAfter || h.crashes >= stalledAfter {
			return true
		}
	}
	return false
}

// waits says whether the bottle was declared anew since its last pass.
func (b *bottle) isOutdated() bool { return b.status.Generation != b.status.ObservedGeneration }

// recovered forgets the failures of what is well again, and the crashes of what has been for long.
func (b *bottle) resetBackoff(parts []reconciler.ComponentStatus) {
	for _, h := range b.backoffs {
		h.failures = 0
	}
	for _, p := range parts {
		if h := b.backoffs[p.Component]; h != nil && p.Ready && time.Since(h.started) > stableAfter {
			h.crashes = 0
		}
	}
}

// restarts notes how often the parts were started again.
func (b *bottle) setRestarts(parts []reconciler.ComponentStatus) {
	for i, p := range parts {
		if h := b.backoffs[p.Component]; h != nil {
			parts[i].Restarts = h.restarts
		}
	}
}

// retry lets everything be tried at once, as if it had not failed before.
func (b *bottle) retryNow() {
	for _, h := range b.backoffs {
		h.failures, h.crashes, h.retryAt = 0, 0, time.Time{}
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
			reason = err // with what failed besides: the clean-up, say
		}
		c.backOff(slug, component, reason)
	}
}

// backOff holds a component back, for longer each time in a row.
func (c *Controller) backOff(slug string, component state.ComponentName, err error) {
	h := c.bottle(slug).backoffOf(component)
	h.failures++
	h.retryAt, h.reason = time.Now().Add(backoffDelay(h.failures)), err
	if h.failures > 1 && errors.Is(err, engine.ErrEnded) {
		h.reason = fmt.Errorf("%w (%d times): %w", errCrashing, h.failures, err)
	}
	c.Log.Error().Str("bottle", slug).Str("part", string(component)).Int("failures", h.failures).
		Dur("next_try_ms", time.Until(h.retryAt)).Err(err).Msg("failed; it is tried again")
}

// holdBack leaves out of a plan what failed or crashed a moment ago.
func (c *Controller) applyBackoff(ctx context.Context, plan plan.BottlePlan) plan.BottlePlan {
	c.recordCrashes(ctx, plan)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	held := map[state.ComponentName]string{}
	for part, h := range b.backoffs {
		if h.retryAt.After(time.Now()) {
			held[part] = fmt.Sprintf("%v; next try at %s", h.reason, h.retryAt.Format(time.TimeOnly))
		}
	}
	return plan.Without(held)
}

// crashes notes the parts that ended without being told to. The first time they are started again at once.
func (c *Controller) recordCrashes(ctx context.Context, plan plan.BottlePlan) {
	for _, p := range plan.Components {
		if p.State != engine.StateExited || p.Component == state.Session || plan.Desired != nil && plan.Desired.Suspended || plan.Remove {
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
		h := c.bottle(plan.Slug).backoffOf(p.Component)
		h.retryAt = time.Now().Add(backoffDelay(n - 1))
		h.reason = errors.Join(fmt.Errorf("%s: %w (%d times): %s%s", p.Component, errCrashing, n, p.Cause, last), err)
		c.Log.Warn().Str("bottle", plan.Slug).Str("part", string(p.Component)).Int("crashes", n).
			Dur("next_try_ms", time.Until(h.retryAt)).Err(h.reason).Msg("crashed; it is started again")
		c.mu.Unlock()
	}
}

// crashed counts the end of a part, once, and returns how many there were in a row; 0 when it is not a new one.
func (c *Controller) countCrash(slug string, p reconciler.ComponentStatus) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.bottle(slug).backoffOf(p.Component)
	if h.ended.Equal(p.EndedAt) {
		return 0
	}
	h.ended = p.EndedAt
	if h.started.IsZero() {
		return 0 // of before this controller, or of an older declaration
	}
	if _, ok := c.killRequested[p.ID]; ok || h.failures > 0 { // a failed start is counted as such
		return 0
	}
	if p.EndedAt.Sub(h.started) > stableAfter {
		h.crashes = 0
	}
	h.crashes++
	return h.crashes
}
