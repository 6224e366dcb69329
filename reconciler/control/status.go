package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// Status returns the status of the controller and of all its bottles, by name.
func (c *Controller) Status() reconciler.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.status
	own.Warnings = c.Source.Warnings()
	status := reconciler.Status{Controller: &own, Bottles: []reconciler.BottleStatus{}, Warnings: c.warnings}
	for _, slug := range slices.Sorted(maps.Keys(c.bottles)) {
		b := c.bottles[slug].status
		if since := c.bottles[slug].awaitedSince; !since.IsZero() {
			b.Conditions = awaitedConditions(b.Conditions, since)
		}
		b.Proposals = c.Desk.Summary(slug)
		if e := c.status.Engine; !e.Reachable && !e.Since.IsZero() {
			b = unreachableStatus(b, e)
		}
		status.Bottles = append(status.Bottles, b)
	}
	return status
}

// unreachableStatus returns a bottle's status while the engine does not answer: the last observed components, readiness unknown.
func unreachableStatus(b reconciler.BottleStatus, e reconciler.EngineStatus) reconciler.BottleStatus {
	b.Ready, b.Reason, b.Message = false, reconciler.ReasonUnreachable, e.Error
	b.Conditions = conditions(b.Conditions, b, settled, e.Since)
	return b
}

// Changed subscribes to changes: the channel receives when Status or Events may have changed, until stop is called.
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

// Ready returns nil once the first resync is done, as long as the engine answers.
func (c *Controller) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.snapshotRead:
		return fmt.Errorf("the manifests were not read yet: %s", c.status.SourceError)
	case !c.status.Engine.Reachable:
		return fmt.Errorf("%w: %s", engine.ErrUnavailable, c.status.Engine.Error)
	case c.status.Syncs == 0:
		return errors.New("the first resync is not done yet")
	}
	return nil
}

// Declared returns the names of the bottles in the last snapshot.
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
