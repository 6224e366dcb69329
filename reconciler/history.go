package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/state"
)

const (
	firstDelay = time.Second     // before what failed is tried again; it doubles each time
	mostDelay  = 5 * time.Minute // as the kubelet has it
	// stable is how long a part must have run not to count as crashing again.
	stable = time.Minute
	// hopeless is how often something must fail in a row until somebody's help is asked for.
	hopeless = 3
)

// errCrashing marks a part that ends again and again.
var errCrashing = errors.New("it ends again and again")

// history is what went wrong with a part, or under "" with the bottle as a whole, since it was declared.
type history struct {
	failures int // of steps, in a row
	crashes  int // ends that nobody asked for, in a row
	restarts int
	ended    time.Time // the last end that was counted
	started  time.Time
	until    time.Time // held back until then
	why      error
}

// delay is how long to wait before the n-th try in a row.
func delay(n int) time.Duration {
	d := firstDelay
	for ; n > 1 && d < mostDelay; n-- {
		d *= 2
	}
	return Jitter(min(d, mostDelay))
}

// of returns the history of a part.
func (b *bottle) of(part state.Part) *history {
	if b.history == nil {
		b.history = map[state.Part]*history{}
	}
	if b.history[part] == nil {
		b.history[part] = &history{}
	}
	return b.history[part]
}

// held says until when something of the bottle is held back, and why.
func (b *bottle) held(now time.Time) (until time.Time, why error) {
	for _, h := range b.history {
		if h.until.After(now) {
			if until.IsZero() || h.until.Before(until) {
				until = h.until
			}
			why = errors.Join(why, h.why)
		}
	}
	return until, why
}

// hopeless says whether something of the bottle failed too often in a row to go on hoping.
func (b *bottle) hopeless() bool {
	for _, h := range b.history {
		if h.failures >= hopeless || h.crashes >= hopeless {
			return true
		}
	}
	return false
}

// waits says whether the bottle was declared anew since its last pass.
func (b *bottle) waits() bool { return b.status.Generation != b.status.ObservedGeneration }

// recovered forgets the failures of what is well again, and the crashes of what has been for long.
func (b *bottle) recovered(parts []PartStatus) {
	for _, h := range b.history {
		h.failures = 0
	}
	for _, p := range parts {
		if h := b.history[p.Role]; h != nil && p.Ready && time.Since(h.started) > stable {
			h.crashes = 0
		}
	}
}

// restarts notes how often the parts were started again.
func (b *bottle) restarts(parts []PartStatus) {
	for i, p := range parts {
		if h := b.history[p.Role]; h != nil {
			parts[i].Restarts = h.restarts
		}
	}
}

// retry lets everything be tried at once, as if it had not failed before.
func (b *bottle) retry() {
	for _, h := range b.history {
		h.failures, h.crashes, h.until = 0, 0, time.Time{}
	}
}

// failed holds back the part whose step failed, and what comes after it, for longer each time.
func (c *Controller) failed(slug string, err error) {
	var step *StepError
	part := state.Part("")
	if errors.As(err, &step) {
		part = step.Step.Part
	}
	h := c.bottle(slug).of(part)
	h.failures++
	h.until, h.why = time.Now().Add(delay(h.failures)), err
	if h.failures > 1 && errors.Is(err, state.ErrEnded) {
		h.why = fmt.Errorf("%w (%d times): %w", errCrashing, h.failures, err)
	}
	c.Log.Error().Str("bottle", slug).Str("part", string(part)).Int("failures", h.failures).
		Dur("next_try_ms", time.Until(h.until)).Err(err).Msg("failed; it is tried again")
}

// holdBack leaves out of a plan what failed or crashed a moment ago.
func (c *Controller) holdBack(ctx context.Context, plan BottlePlan) BottlePlan {
	c.crashes(ctx, plan)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(plan.Slug)
	held := map[state.Part]string{}
	for part, h := range b.history {
		if h.until.After(time.Now()) {
			held[part] = fmt.Sprintf("%v; next try at %s", h.why, h.until.Format(time.TimeOnly))
		}
	}
	return plan.without(held)
}

// crashes notes the parts that ended without being told to. The first time they are started again at once.
func (c *Controller) crashes(ctx context.Context, plan BottlePlan) {
	for _, p := range plan.Parts {
		if p.State != state.StateExited || p.Role == state.Run || plan.Suspended || plan.Remove {
			continue
		}
		n := c.crashed(plan.Slug, p)
		if n < 2 {
			continue
		}
		c.mu.Lock()
		started := c.bottle(plan.Slug).of(p.Role).started
		c.mu.Unlock()
		last, err := state.QuoteLog(ctx, c.Reconciler.Observer.Engine, p.id, started)
		c.mu.Lock()
		h := c.bottle(plan.Slug).of(p.Role)
		h.until = time.Now().Add(delay(n - 1))
		h.why = errors.Join(fmt.Errorf("%s: %w (%d times): %s%s", p.Role, errCrashing, n, p.Cause, last), err)
		c.Log.Warn().Str("bottle", plan.Slug).Str("part", string(p.Role)).Int("crashes", n).
			Dur("next_try_ms", time.Until(h.until)).Err(h.why).Msg("crashed; it is started again")
		c.mu.Unlock()
	}
}

// crashed counts the end of a part, once, and returns how many there were in a row; 0 when it is not a new one.
func (c *Controller) crashed(slug string, p PartStatus) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.bottle(slug).of(p.Role)
	if h.ended.Equal(p.endedAt) {
		return 0
	}
	h.ended = p.endedAt
	if h.started.IsZero() {
		return 0 // of before this controller, or of an older declaration
	}
	if _, ok := c.ordered[p.id]; ok || h.failures > 0 { // a failed start is counted as such
		return 0
	}
	if p.endedAt.Sub(h.started) > stable {
		h.crashes = 0
	}
	h.crashes++
	return h.crashes
}
