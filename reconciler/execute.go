package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/state"
)

const (
	// callLimit bounds every single engine call that changes something, but for image transfers.
	callLimit = 2 * time.Minute
	// agentGrace is how long an agent may take to end, as with `docker stop`.
	agentGrace = 10 * time.Second
	// agentSettles is how long an agent must have run to count as started.
	agentSettles = 500 * time.Millisecond
)

var (
	// errStale marks a step that failed because something changed after it was planned: a pass that was killed a
	// moment ago may still have a call under way in the engine. A new plan is worth making.
	errStale = errors.New("the engine changed while the plan was carried out")
	// errTaken marks a name that somebody else has.
	errTaken = errors.New("name taken")
)

// Event is something the executor did, for logs and progress.
type Event struct {
	Slug string
	Step *Step // nil: the bottle itself
	Done bool  // false: begins
	Took time.Duration
	Err  error
}

// Executor carries out plans. It is the only place that changes the engine.
type Executor struct {
	Engine   state.Engine
	Settings state.Settings
	Cache    *state.Cache
	// BuiltinImage is loaded when a part needs it and the engine doesn't have it.
	BuiltinImage BuiltinImage
	Parallel     int           // bottles worked on at once, not counting those that wait for long
	Timeout      time.Duration // for a part to become ready
	Report       func(Event)   // called from many goroutines; never nil
	Audit        *Collector    // has a sidecar's last decisions on record before its container is removed; nil for none

	images singleflight.Group
	places chan struct{} // taken by the bottles that are worked on
	once   sync.Once

	mu    sync.Mutex
	users *state.UserMapping // nil: the engine was not asked
}

// BuiltinImage is the image of the built-in sidecars.
type BuiltinImage interface {
	Load(ctx context.Context, e state.Engine) error
}

// Run carries out a plan, bottle beside bottle, and returns the error of each bottle that failed. When ctx ends, the
// steps in hand are finished and no further ones begun.
func (x *Executor) Run(ctx context.Context, plan Plan) map[string]error {
	var mu sync.Mutex
	failed := map[string]error{}
	var group sync.WaitGroup
	for _, b := range plan.Bottles {
		group.Go(func() {
			if err := x.Bottle(ctx, b); err != nil {
				mu.Lock()
				failed[b.Slug] = err
				mu.Unlock()
			}
		})
	}
	group.Wait()
	_ = os.Remove(x.Settings.RunDir) // it goes with the last bottle's tokens, and fails as long as there are others
	return failed
}

// Bottle carries out the plan of one bottle, when its turn comes.
func (x *Executor) Bottle(ctx context.Context, plan BottlePlan) error {
	if plan.Err != nil || len(plan.Steps) == 0 {
		return plan.Err
	}
	x.once.Do(func() { x.places = make(chan struct{}, x.Parallel) })
	run := &run{Executor: x, slug: plan.Slug, ids: map[state.Part]string{}, unstarted: map[string]string{}}
	run.enter()
	defer run.leave()
	began := time.Now()
	x.Report(Event{Slug: plan.Slug})
	err := run.stages(ctx, plan.Steps)
	if err != nil {
		err = errors.Join(err, run.discard(ctx))
	}
	x.Report(Event{Slug: plan.Slug, Done: true, Took: time.Since(began), Err: err})
	return err
}

// run is the execution of one bottle's plan.
type run struct {
	*Executor
	slug string

	mu        sync.Mutex
	ids       map[state.Part]string // containers created by this run
	unstarted map[string]string     // of those, the name by ID of the ones not started yet

	place sync.Mutex // held while has is changed
	has   bool       // a place among Executor.places
}

// StepError is the failure of one step.
type StepError struct {
	Step Step
	Err  error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Step.Action, e.Step.Object, e.Err)
}
func (e *StepError) Unwrap() error { return e.Err }

func (r *run) stages(ctx context.Context, steps []Step) error {
	for len(steps) > 0 {
		n := slices.IndexFunc(steps, func(s Step) bool { return s.Stage != steps[0].Stage })
		if n < 0 {
			n = len(steps)
		}
		if err := r.stage(ctx, steps[:n]); err != nil {
			return err
		}
		steps = steps[n:]
	}
	return nil
}

// stage runs the parts side by side, the steps of one part one after the other.
func (r *run) stage(ctx context.Context, steps []Step) error {
	var group errgroup.Group
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[0].Part != "" && steps[n].Part == steps[0].Part {
			n++
		}
		same := steps[:n]
		steps = steps[n:]
		group.Go(func() error {
			for _, s := range same {
				if err := r.step(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *run) step(ctx context.Context, s Step) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted before: %s %s: %w", s.Action, s.Object, context.Cause(ctx))
	}
	began := time.Now()
	r.Report(Event{Slug: r.slug, Step: &s})
	err := r.do(ctx, s)
	if err != nil {
		if stale(s, err) {
			err = fmt.Errorf("%w: %w", errStale, err)
		}
		err = &StepError{s, err}
	}
	r.Report(Event{Slug: r.slug, Step: &s, Done: true, Took: time.Since(began), Err: err})
	return err
}

// stale says whether a step failed for something that its plan did not know.
func stale(s Step, err error) bool {
	switch {
	case errors.Is(err, buildcontext.ErrChanged):
		return true
	case s.Action == EnsureImage, s.Action == BuildImage, errors.Is(err, errTaken):
		return false // a registry that does not have an image, or a name that is somebody else's, will not change
	}
	return errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrMount)
}

// do carries out one step. What changes the engine is not cut off half-way when ctx ends.
func (r *run) do(ctx context.Context, s Step) error {
	call, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), callLimit, fmt.Errorf("%w within %s", state.ErrUnavailable, callLimit))
	defer cancel()
	err := r.act(ctx, call, s)
	if err != nil && call.Err() != nil {
		return errors.Join(context.Cause(call), err)
	}
	return err
}

func (r *run) act(ctx, call context.Context, s Step) error {
	id := r.container(s)
	switch s.Action {
	case EnsureImage:
		return r.waiting(func() error { return r.image(ctx, s.Object, r.fetch) })
	case BuildImage:
		return r.waiting(func() error { return r.image(ctx, s.Object, build{r, s.member.Build}.image) })
	case CreateNetwork:
		return r.createNetwork(call, s.network)
	case RemoveNetwork:
		return r.removeNetwork(call, s)
	case WriteFiles:
		to, err := r.owner(call)
		if err != nil {
			return err
		}
		return writeDir(s.dir, r.Settings, to)
	case RemoveFiles:
		return removeFiles(s.Object, r.Settings)
	case Create:
		return r.create(call, s)
	case Start:
		return r.start(ctx, call, id, s)
	case Await:
		return r.waiting(func() error { return r.await(ctx, id, time.Time{}) })
	case Reload:
		return r.reload(ctx, call, id, s.member)
	case Unpause:
		return r.Engine.UnpauseContainer(call, id)
	case Connect:
		return r.Engine.Connect(call, s.attachment.Network, id, s.attachment.Aliases)
	case Reconnect:
		if err := r.Engine.Disconnect(call, s.attachment.Network, id); err != nil {
			return err
		}
		return r.Engine.Connect(call, s.attachment.Network, id, s.attachment.Aliases)
	case Disconnect:
		return r.Engine.Disconnect(call, s.attachment.Network, id)
	case UpdateLimits:
		r.Cache.Forget(id)
		return r.Engine.UpdateLimits(call, id, s.member.Container.Limits)
	case Stop:
		return r.waiting(func() error { return r.Engine.StopContainer(call, id, agentGrace) })
	case Remove:
		return r.remove(call, s)
	}
	return fmt.Errorf("unknown action %q", s.Action)
}

func (r *run) container(s Step) string {
	if s.containerID != "" {
		return s.containerID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[s.Part]
}

func (r *run) create(ctx context.Context, s Step) error {
	if err := r.Settings.CheckMounts(s.member.Container.Mounts); err != nil {
		return err
	}
	if err := r.giveDirs(ctx, s.member.DirPaths); err != nil {
		return err
	}
	id, err := r.Engine.CreateContainer(ctx, s.member.Container)
	if errors.Is(err, state.ErrConflict) {
		return r.explainConflict(ctx, s.Object, err)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[s.Part], r.unstarted[id] = id, s.Object
	return nil
}

// explainConflict says whose the container is that has the name.
func (r *run) explainConflict(ctx context.Context, name string, conflict error) error {
	id, owner, err := r.Engine.NameHolder(ctx, name)
	switch {
	case err != nil:
		return errors.Join(conflict, err)
	case owner == "":
		return fmt.Errorf("%w: container %s (%.12s) has it and was not made by bottled: rename or remove it (docker rm -f %.12s), or use another --prefix", errTaken, name, id, id)
	case owner != r.Settings.Owner:
		return fmt.Errorf("%w: container %s (%.12s) belongs to bottled's owner %q: use another --prefix, or another name for the bottle", errTaken, name, id, owner)
	}
	return conflict
}

func (r *run) start(ctx, call context.Context, id string, s Step) error {
	began := time.Now()
	if err := r.Settings.CheckMounts(s.member.Container.Mounts); err != nil {
		return err
	}
	if err := r.Engine.StartContainer(call, id); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.unstarted, id)
	r.mu.Unlock()
	if err := state.CheckMounted(call, r.Engine, id, s.member.Container.Mounts); err != nil {
		return errors.Join(err, r.Engine.RemoveContainer(call, id))
	}
	return r.waiting(func() error {
		switch {
		case s.member.Part == state.Agent:
			return r.settle(ctx, id, began)
		case s.member.Config == "":
			return r.await(ctx, id, began)
		}
		// Not since the call: a pass that was killed may have started it a moment ago.
		return r.awaitConfig(ctx, id, s.lastRun, s.member.Config, "start")
	})
}

func (r *run) reload(ctx, call context.Context, id string, m state.Member) error {
	since := time.Now()
	if err := r.Engine.SignalContainer(call, id, "SIGHUP"); err != nil {
		return err
	}
	if m.Config == "" {
		return nil // an image of others does not say
	}
	return r.waiting(func() error { return r.awaitConfig(ctx, id, since, m.Config, "signal") })
}

func (r *run) remove(ctx context.Context, s Step) error {
	if s.graceful {
		err := r.waiting(func() error { return r.Engine.StopContainer(ctx, s.containerID, agentGrace) })
		if err != nil {
			return err
		}
	}
	r.record(ctx, s)
	if err := r.Engine.RemoveContainer(ctx, s.containerID); err != nil {
		return fmt.Errorf("%w; by hand: docker rm -f %s", err, s.Object)
	}
	return nil
}

// discard removes what a failed run created and did not start, so that a failure leaves nothing behind.
func (r *run) discard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	var failed []error
	for id, name := range r.unstarted {
		if err := r.Engine.RemoveContainer(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("%w; by hand: docker rm -f %s", err, name))
		}
	}
	return errors.Join(failed...)
}
