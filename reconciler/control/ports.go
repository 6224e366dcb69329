package control

import (
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// portsOf returns the ports that are served of a bottle, by its plan; known is false for a bottle that is left as it is. None are while it
// is suspended. Nor are they while it is cut off: a page of the agent in somebody's browser is a way out.
func portsOf(p plan.BottlePlan) (ports []v1alpha1.Port, known bool) {
	switch {
	case p.Remove || p.Cut:
		return nil, true
	case p.Desired == nil:
		return nil, false
	case p.Desired.Suspended:
		return nil, true
	}
	return p.Desired.Declared.ListensOn(), true
}

// servePorts serves the ports of a bottle, after an observation.
func (c *Controller) servePorts(p plan.BottlePlan) {
	if ports, known := portsOf(p); known {
		c.Ports.Set(p.Slug, c.Reconciler.Settings.IngressDir(p.Slug), ports)
	}
	c.bottle(p.Slug).ports = c.Ports.State(p.Slug)
}

// closePorts closes the ports of a bottle that is to have none any more, before its plan is executed.
func (c *Controller) closePorts(p plan.BottlePlan) {
	if ports, known := portsOf(p); known && len(ports) == 0 {
		c.Ports.Set(p.Slug, "", nil)
	}
}

// portsChanged publishes the state of a bottle's ports.
func (c *Controller) portsChanged(slug string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottles[slug]
	if b == nil {
		return
	}
	b.ports = c.Ports.State(slug)
	c.publish(b, b.status, b.phase)
	c.notifySubscribers()
}
