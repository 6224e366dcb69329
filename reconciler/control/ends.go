package control

import (
	"context"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// clockCheck is how often the clock is read while an allowed host is to end. Timers don't run while the machine is suspended, and don't
// notice that somebody sets the clock.
const clockCheck = 15 * time.Second

// watchEnds makes a pass over each bottle when the first of its allowed hosts ends.
func (c *Controller) watchEnds(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.endsChanged:
		}
		timer.Stop()
		if next := c.enqueueEnded(time.Now()); !next.IsZero() {
			timer.Reset(min(time.Until(next), clockCheck))
		}
	}
}

// enqueueEnded enqueues the bottles of which a host has ended, and returns when the next one will; zero for never. The pass finds out what
// has ended, and when the next host does.
func (c *Controller) enqueueEnded(now time.Time) (next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notifySubscribers()
	for slug, b := range c.bottles {
		switch {
		case b.hostsUntil.IsZero():
		case now.Before(b.hostsUntil):
			if next.IsZero() || b.hostsUntil.Before(next) {
				next = b.hostsUntil
			}
		default:
			c.recordEvent(reconciler.Event{Bottle: slug, Reason: reconciler.EventHostEnded, Message: "a host was allowed until " + b.hostsUntil.Format(time.RFC3339)})
			b.hostsUntil, b.ending = time.Time{}, true
			if b.interrupt != nil {
				b.interrupt(errSuperseded) // it may wait for minutes
			}
			c.enqueue(slug)
		}
	}
	return next
}

// expectEnd notes when the first allowed host of a bottle ends, as it was planned.
func (c *Controller) expectEnd(p plan.BottlePlan) {
	if p.Desired == nil || p.Desired.HostsUntil.Equal(c.bottle(p.Slug).hostsUntil) {
		return
	}
	c.bottle(p.Slug).hostsUntil = p.Desired.HostsUntil
	select {
	case c.endsChanged <- struct{}{}:
	default:
	}
}
