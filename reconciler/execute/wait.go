package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// patience is how long a bottle may wait for something before its place goes to another one.
const yieldSlotAfter = 2 * time.Second

func (r *execution) acquireSlot() {
	r.slotLock <- struct{}{}
	defer func() { <-r.slotLock }()
	if !r.hasSlot {
		r.slots <- struct{}{}
		r.hasSlot = true
	}
}

func (r *execution) releaseSlot() {
	r.slotLock <- struct{}{}
	defer func() { <-r.slotLock }()
	if r.hasSlot {
		<-r.slots
		r.hasSlot = false
	}
}

// waiting does what may take long without any work. When it does, another bottle gets the place meanwhile.
func (r *execution) yieldSlotWhile(wait func() error) error {
	timer := time.AfterFunc(yieldSlotAfter, r.releaseSlot)
	err := wait()
	timer.Stop()
	r.acquireSlot()
	return err
}

// awaitStable waits until an agent counts as started. One that can't run its command ends at once, and reports nothing.
func (r *execution) awaitStable(ctx context.Context, id string, began time.Time) error {
	select {
	case <-ctx.Done(): // the next pass will see
	case <-time.After(agentStableAfter):
	}
	return r.awaitReady(ctx, id, engine.Readiness{}, began)
}

// awaitReady waits until a container is ready.
func (r *execution) awaitReady(ctx context.Context, id string, want engine.Readiness, began time.Time) error {
	return r.bounded(ctx, id, began, func(ctx context.Context) (engine.Report, error) { return r.Engine.WaitReady(ctx, id, want) })
}

// bounded waits for a component for as long as it may take to become ready, and notes what it reports. An error quotes the
// container's log since began.
func (r *execution) bounded(ctx context.Context, id string, began time.Time, wait func(context.Context) (engine.Report, error)) error {
	bounded, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not ready within %s", r.Timeout))
	defer cancel()
	report, err := wait(bounded)
	switch {
	case err == nil && report != (engine.Report{}):
		r.Cache.SetReport(id, report)
		return nil
	case err == nil, errors.Is(err, engine.ErrPaused), errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrUnavailable):
		return err
	case bounded.Err() != nil:
		err = context.Cause(bounded)
	}
	last, logErr := engine.QuoteLog(context.WithoutCancel(ctx), r.Engine, id, began)
	return errors.Join(fmt.Errorf("%w%s", err, last), logErr)
}
