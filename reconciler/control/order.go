package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/store"
)

// Order records what an operator asks of a bottle, and has a pass carry it out: until that ends, the bottle is Reconciling. by is the
// operator's user, "" if it is not known; component limits a restart to one component, "" is all of them.
func (c *Controller) Order(ctx context.Context, by, slug string, order reconciler.Order, component state.ComponentName) error {
	c.mu.Lock()
	b, known := c.bottles[slug]
	var status reconciler.BottleStatus
	if known {
		status = b.status
	}
	names := slices.Sorted(maps.Keys(c.bottles))
	c.mu.Unlock()
	if !known {
		return reconciler.NoBottle(slug, names)
	}
	change, err := c.intervention(ctx, status, order, component)
	if err != nil {
		return err
	}
	c.Reconciler.Executor.Audit.RecordOrder(audit.Change{
		Bottle: slug, Action: string(order), Component: string(component), Generation: status.Generation, SpecHash: status.SpecHash, Who: by,
	})
	if err := c.Reconciler.Intervene(slug, change); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acceptOrder(slug, order, component)
	return nil
}

// intervention returns the change of what is asked of a bottle that an order means.
func (c *Controller) intervention(ctx context.Context, b reconciler.BottleStatus, order reconciler.Order, component state.ComponentName) (func(*state.Intervention), error) {
	switch order {
	case reconciler.OrderCut: // also of a bottle whose declaration is gone or can't be carried out
		return func(i *state.Intervention) { i.Cut = true }, nil
	case reconciler.OrderResume:
		return func(i *state.Intervention) { i.Cut, i.SuspendedSpec = false, "" }, nil
	}
	if b.Reason == reconciler.ReasonHeld || b.SpecHash == "" {
		return nil, fmt.Errorf("%w: bottle %s has no declaration that could be carried out, so it is left as it is; it can only be cut off or removed", reconciler.ErrOrder, b.Slug)
	}
	switch order {
	case reconciler.OrderSuspend:
		return func(i *state.Intervention) { i.SuspendedSpec = b.SpecHash }, nil
	case reconciler.OrderRestart:
		runs, err := c.runs(ctx, b.Slug, component)
		return func(i *state.Intervention) { i.Restart = runs }, err
	}
	return nil, fmt.Errorf("%w: unknown order %q", reconciler.ErrOrder, order)
}

// runs returns the present or last runs of a bottle's containers, or of one component's.
func (c *Controller) runs(ctx context.Context, slug string, component state.ComponentName) (map[state.ComponentName]state.Run, error) {
	have, err := c.Reconciler.Observer.Observe(ctx, observe.Options{Slug: slug})
	if err != nil {
		return nil, err
	}
	runs, found := map[state.ComponentName]state.Run{}, component == ""
	for _, o := range have.Containers {
		name := o.Component()
		if name.IsSession() || component != "" && name != component {
			continue
		}
		found = true
		runs[name] = state.Run{ContainerID: o.ID, StartedAt: o.StartedAt}
	}
	if _, exists := runs[state.Agent]; !exists && (component == "" || component == state.Agent) {
		known, err := store.ReadRuns(c.Reconciler.Settings, slug)
		if err != nil {
			return nil, err
		}
		if known.Outcome != nil { // the agent has ended for good, and somebody has removed its container
			runs[state.Agent], found = known.Outcome.Run, true
		}
	}
	if !found {
		return nil, reconciler.NoComponent(slug, string(component))
	}
	return runs, nil
}

// acceptOrder ends the backoffs of a bottle, interrupts its pass, and enqueues it.
func (c *Controller) acceptOrder(slug string, order reconciler.Order, component state.ComponentName) {
	message := string(order)
	if component != "" {
		message += " " + string(component)
	}
	c.Log.Info().Str("bottle", slug).Str("order", message).Msg("an operator's order")
	c.recordEvent(reconciler.Event{Bottle: slug, Component: component, Reason: reconciler.EventOrdered, Message: "an operator's order: " + message})
	b := c.bottle(slug)
	b.retryNow()
	b.resuming = b.resuming || order == reconciler.OrderResume && b.status.Reason == reconciler.ReasonSuspend
	b.ordered, b.awaitedSince, b.answering = true, time.Now(), false
	if b.interrupt != nil {
		b.interrupt(errSuperseded)
	}
	c.enqueue(slug)
}
