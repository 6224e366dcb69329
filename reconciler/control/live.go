package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// Live is what the controller tells.
func (c *Controller) Status() reconciler.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := c.status
	status.Warnings = c.Source.Warnings()
	live := reconciler.Status{Controller: &status, Bottles: []reconciler.BottleStatus{}, Warnings: c.warnings}
	for _, slug := range slices.Sorted(maps.Keys(c.bottles)) {
		b := c.bottles[slug].status
		if e := c.status.Engine; !e.Reachable && !e.Since.IsZero() {
			b = unreachable(b, e)
		}
		live.Bottles = append(live.Bottles, b)
	}
	return live
}

// unreachable is how a bottle's status is told while the engine does not answer: as it was seen last, and not known.
func unreachable(b reconciler.BottleStatus, e reconciler.EngineStatus) reconciler.BottleStatus {
	b.Ready, b.Reason, b.Message = false, reconciler.ReasonUnreachable, e.Error
	b.Conditions = conditions(b.Conditions, b, settled, e.Since)
	return b
}

// Changed returns a channel that receives when Live may have changed, and a function that ends that.
func (c *Controller) Changed() (changes <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribers[ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, ch)
	}
}

func (c *Controller) notifySubscribers() {
	for ch := range c.subscribers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Ready is nil once everything was looked at, as long as the engine answers.
func (c *Controller) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.read:
		return fmt.Errorf("the manifests were not read yet: %s", c.status.SourceError)
	case !c.status.Engine.Reachable:
		return fmt.Errorf("%w: %s", engine.ErrUnavailable, c.status.Engine.Error)
	case c.status.Syncs == 0:
		return errors.New("the first look at everything is not done yet")
	}
	return nil
}

// Declared are the bottles that the manifests declared when they were read last.
func (c *Controller) Declared() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var slugs []string
	for slug := range c.bottles {
		if !slices.Contains(c.status.Held, slug) {
			slugs = append(slugs, slug)
		}
	}
	slices.Sort(slugs)
	return slugs
}
