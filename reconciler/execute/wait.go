package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// yieldSlotAfter is how long a step may wait for something before it does not count as working.
const yieldSlotAfter = 2 * time.Second

// slot is a bottle's share of Executor.slots: it is held while one of the bottle's steps works, and lent to another bottle while all
// that go on only wait.
type slot struct {
	slots chan struct{}

	lock    chan struct{} // also taken while the bottle waits for its turn: none of its steps works without a slot
	held    bool
	working int // steps
	waiting int // steps, for longer than yieldSlotAfter
}

func newSlot(slots chan struct{}) slot { return slot{slots: slots, lock: make(chan struct{}, 1)} }

func (s *slot) acquire() {
	if !s.held {
		s.slots <- struct{}{}
		s.held = true
	}
}

func (s *slot) release() {
	if s.held {
		<-s.slots
		s.held = false
	}
}

// change counts steps that begin or cease to work or to wait, and holds the slot accordingly. A bottle keeps it from one step to
// the next.
func (s *slot) change(working, waiting int) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	s.working += working
	s.waiting += waiting
	switch {
	case s.working > 0:
		s.acquire()
	case s.waiting > 0:
		s.release()
	}
}

// end gives the slot back, when no step goes on.
func (s *slot) end() {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	s.release()
}

// yieldSlotWhile does what may take long without any work. When it does, another bottle may get the slot meanwhile.
func (r *execution) yieldSlotWhile(wait func() error) error {
	timer := time.AfterFunc(yieldSlotAfter, func() { r.slot.change(-1, 1) })
	err := wait()
	if !timer.Stop() {
		r.slot.change(1, -1)
	}
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
