package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// errNotReady marks a component that did not become ready in time.
var errNotReady = errors.New("not ready")

// yieldSlotAfter is the wait after which a step no longer counts as working.
const yieldSlotAfter = 2 * time.Second

// slot is a bottle's share of the semaphore Executor.slots: held while any of the bottle's steps works, yielded while all of them
// only wait.
type slot struct {
	slots chan struct{}

	lock    chan struct{} // held while waiting for a slot, too: no step works without one
	held    bool
	working int // number of steps
	waiting int // number of steps that have waited for longer than yieldSlotAfter
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

// change adds to the numbers of working and waiting steps, and acquires or releases the slot accordingly. With neither, between two
// steps, a bottle keeps its slot.
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

// end releases the slot at the end of the execution.
func (s *slot) end() {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	s.release()
}

// yieldSlotWhile runs a wait that costs no work here, such as a health check or a pull. After yieldSlotAfter the step counts as
// waiting until the wait is over.
func (r *execution) yieldSlotWhile(wait func() error) error {
	timer := time.AfterFunc(yieldSlotAfter, func() { r.slot.change(-1, 1) })
	err := wait()
	if !timer.Stop() {
		r.slot.change(1, -1)
	}
	return err
}

// awaitStable waits until a workload has run for stableAfter, which shows that its command could be started: workloads don't report.
func (r *execution) awaitStable(ctx context.Context, id string, began time.Time) error {
	select {
	case <-ctx.Done(): // the next pass observes it
	case <-time.After(stableAfter):
	}
	return r.awaitReady(ctx, id, engine.Readiness{}, began)
}

// awaitReady waits until a container is ready.
func (r *execution) awaitReady(ctx context.Context, id string, want engine.Readiness, began time.Time) error {
	return r.waitWithTimeout(ctx, id, began, func(ctx context.Context) (engine.Report, error) { return r.Engine.WaitReady(ctx, id, want) })
}

// waitWithTimeout runs a wait for a component, limited by Executor.Timeout, and caches the report. An error quotes the container's
// log since began.
func (r *execution) waitWithTimeout(ctx context.Context, id string, began time.Time, wait func(context.Context) (engine.Report, error)) error {
	bounded, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("%w within %s", errNotReady, r.Timeout))
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
