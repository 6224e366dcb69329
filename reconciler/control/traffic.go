package control

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/traffic"
	"github.com/bot-bottle/bottled/state/audit"
)

// recordTraffic counts what a sidecar refused, and publishes it with the conditions that follow. The collector calls it.
func (c *Controller) recordTraffic(slug, kind string, s *audit.Statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottles[slug]
	if b == nil {
		return // it was removed, with all that was counted
	}
	n := b.traffic.Add(kind, s, time.Now())
	if n.Denied > 0 {
		c.Metrics.denied.WithLabelValues(slug, traffic.Code(s)).Add(float64(n.Denied))
	}
	if n.Rejected > 0 {
		c.Metrics.rejected.WithLabelValues(slug).Add(float64(n.Rejected))
	}
	if n.Changed && !b.trafficDue {
		b.trafficDue = true
		time.AfterFunc(trafficDelay, func() { c.publishTraffic(slug) })
	}
}

// trafficDelay is how long decisions are gathered before the bottle's status is made anew: a sidecar can write thousands at once.
const trafficDelay = 100 * time.Millisecond

func (c *Controller) publishTraffic(slug string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.bottles[slug]; b != nil {
		b.trafficDue = false
		c.publish(b, b.status, b.phase)
		c.notifySubscribers()
	}
}

// Traffic returns what a bottle's sidecars have reported of its requests since the controller started.
func (c *Controller) Traffic(slug string) (reconciler.BottleTraffic, error) {
	if err := c.exists(slug); err != nil {
		return reconciler.BottleTraffic{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.bottles[slug]; b != nil {
		return b.traffic.Traffic(), nil
	}
	return reconciler.BottleTraffic{Hosts: []reconciler.HostTraffic{}, Routes: []reconciler.RouteTraffic{}}, nil
}

// requests returns what a bottle's sidecars have reported of the last minute.
func (c *Controller) requests(slug string, now time.Time) (requests, denied uint64, rejection *reconciler.Rejection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottles[slug]
	if b == nil {
		return 0, 0, nil
	}
	return b.traffic.Activity(now)
}

// Look returns a channel with what the bottles use and do, measured until stop is called. What sidecars refused is read more often meanwhile.
func (c *Controller) Look() (newest <-chan reconciler.Activity, stop func()) {
	stopCollecting := c.Reconciler.Executor.Audit.Look()
	newest, stopMeasuring := c.sampler.Look()
	return newest, func() { stopMeasuring(); stopCollecting() }
}
