package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// patience is how long a bottle may wait for something before its place goes to another one.
const patience = 2 * time.Second

func (r *run) enter() {
	r.place.Lock()
	defer r.place.Unlock()
	if !r.has {
		r.places <- struct{}{}
		r.has = true
	}
}

func (r *run) leave() {
	r.place.Lock()
	defer r.place.Unlock()
	if r.has {
		<-r.places
		r.has = false
	}
}

// waiting does what may take long without any work. When it does, another bottle gets the place meanwhile.
func (r *run) waiting(wait func() error) error {
	timer := time.AfterFunc(patience, r.leave)
	err := wait()
	timer.Stop()
	r.enter()
	return err
}

// settle sees whether an agent stays: one that can't run its command ends at once, and says so by nothing else.
func (r *run) settle(ctx context.Context, id string, since time.Time) error {
	select {
	case <-ctx.Done(): // the next pass will see
	case <-time.After(agentSettles):
	}
	return r.await(ctx, id, since)
}

// await waits for the engine's health check, where there is one.
func (r *run) await(ctx context.Context, id string, since time.Time) error {
	ctx, cancel := r.whileItRuns(ctx, id)
	defer cancel()
	health, err := r.Engine.Health(ctx, id)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		last, logErr := state.QuoteLog(context.WithoutCancel(ctx), r.Engine, id, since)
		return errors.Join(fmt.Errorf("%w%s", err, last), logErr)
	}
	if health == state.HealthUnhealthy {
		return errors.New("its health check fails: see docker inspect " + id[:min(12, len(id))])
	}
	return nil
}

// whileItRuns bounds a wait for a container: by the time that it may take to become ready, and by its end. An engine does
// not always end the log of a container that is removed while somebody follows it (seen on 20.10).
func (r *run) whileItRuns(ctx context.Context, id string) (context.Context, context.CancelFunc) {
	ctx, end := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not ready within %s", r.Timeout))
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
				if err := r.gone(ctx, id); err != nil {
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
func (r *run) gone(ctx context.Context, id string) error {
	all, err := r.Engine.Containers(ctx, r.Settings.Owner, r.slug)
	if err != nil {
		return nil //nolint:nilerr // the wait goes on
	}
	i := slices.IndexFunc(all, func(s state.Summary) bool { return s.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("%w: it was removed", state.ErrNotFound)
	case all[i].State == state.StateExited || all[i].State == "dead":
		return state.ErrEnded
	}
	return nil
}

func (r *run) awaitConfig(ctx context.Context, id string, since time.Time, config string, causes ...string) error {
	ctx, cancel := r.whileItRuns(ctx, id)
	defer cancel()
	report, err := state.Await(ctx, r.Engine, id, since, config, causes...)
	if err != nil {
		return err
	}
	r.Cache.SetReport(id, report)
	return nil
}
