package execute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// patience is how long a bottle may wait for something before its place goes to another one.
const yieldSlotAfter = 2 * time.Second

func (r *execution) acquireSlot() {
	r.slotMu.Lock()
	defer r.slotMu.Unlock()
	if !r.hasSlot {
		r.slots <- struct{}{}
		r.hasSlot = true
	}
}

func (r *execution) releaseSlot() {
	r.slotMu.Lock()
	defer r.slotMu.Unlock()
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

// settle sees whether an agent stays: one that can't run its command ends at once, and says so by nothing else.
func (r *execution) awaitStable(ctx context.Context, id string, since time.Time) error {
	select {
	case <-ctx.Done(): // the next pass will see
	case <-time.After(agentStableAfter):
	}
	return r.await(ctx, id, since)
}

// await waits for the engine's health check, where there is one.
func (r *execution) await(ctx context.Context, id string, since time.Time) error {
	ctx, cancel := r.watchContainer(ctx, id)
	defer cancel()
	health, err := r.Engine.WaitHealthy(ctx, id)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		last, logErr := observe.QuoteLog(context.WithoutCancel(ctx), r.Engine, id, since)
		return errors.Join(fmt.Errorf("%w%s", err, last), logErr)
	}
	if health == engine.HealthUnhealthy {
		return errors.New("its health check fails: see docker inspect " + id[:min(12, len(id))])
	}
	return nil
}

// whileItRuns bounds a wait for a container: by the time that it may take to become ready, and by its end. An engine does
// not always end the log of a container that is removed while somebody follows it (seen on 20.10).
func (r *execution) watchContainer(ctx context.Context, id string) (context.Context, context.CancelFunc) {
	ctx, end := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not ready within %s", r.Timeout))
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
				if err := r.checkRunning(ctx, id); err != nil {
					cancel(err)
					return
				}
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		end()
	}
}

// gone says whether a container has ended or was removed. What can't be asked is not known.
func (r *execution) checkRunning(ctx context.Context, id string) error {
	all, err := r.Engine.Containers(ctx, r.Settings.Owner, r.slug)
	if err != nil {
		return nil //nolint:nilerr // the wait goes on
	}
	i := slices.IndexFunc(all, func(s engine.Summary) bool { return s.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("%w: it was removed", engine.ErrNotFound)
	case all[i].State == engine.StateExited || all[i].State == "dead":
		return engine.ErrEnded
	}
	return nil
}

func (r *execution) awaitConfig(ctx context.Context, id string, since time.Time, config string, causes ...string) error {
	ctx, cancel := r.watchContainer(ctx, id)
	defer cancel()
	report, err := observe.Await(ctx, r.Engine, id, since, config, causes...)
	if err != nil {
		return err
	}
	r.Cache.SetReport(id, report)
	return nil
}
