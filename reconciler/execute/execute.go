package execute

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bot-bottle/bottled/reconciler/collect"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

const (
	// callLimit bounds every single engine call that changes something, but for image transfers.
	callLimit = 2 * time.Minute
	// agentGrace is how long an agent may take to end, as with `docker stop`.
	agentGrace = 10 * time.Second
	// agentSettles is how long an agent must have run to count as started.
	agentStableAfter = 500 * time.Millisecond
)

var (
	// ErrStale marks an execution that failed only because something changed after it was planned: a pass that was killed a
	// moment ago may still have a call under way in the engine. A new plan is worth making.
	ErrStale = errors.New("the engine changed while the plan was carried out")
	// errTaken marks a name that somebody else has.
	errTaken = errors.New("name taken")
)

// Progress is something the executor did, for logs and the display.
type Progress struct {
	Slug string
	Step *plan.Step // nil: the bottle itself
	Done bool       // false: begins
	Took time.Duration
	Err  error
}

// Executor carries out plans. It is the only place that changes the engine.
type Executor struct {
	Engine   engine.Engine
	Settings state.Settings
	Cache    *observe.Cache
	// BuiltinImage is loaded when a part needs it and the engine doesn't have it.
	BuiltinImage BuiltinImage
	Parallel     int                // bottles worked on at once, not counting those that wait for long
	Timeout      time.Duration      // for a part to become ready
	OnProgress   func(Progress)     // called from many goroutines; never nil
	Audit        *collect.Collector // has a sidecar's last decisions on record before its container is removed; nil for none

	images singleflight.Group
	slots  chan struct{} // limits how many bottles work at once
	once   sync.Once
}

// BuiltinImage is the image of the built-in sidecars.
type BuiltinImage interface {
	Load(ctx context.Context, e engine.Engine) error
}

// Bottle carries out the plan of one bottle, when its turn comes.
func (x *Executor) Bottle(ctx context.Context, plan plan.BottlePlan) error {
	if plan.Err != nil || len(plan.Steps) == 0 {
		return plan.Err
	}
	x.once.Do(func() { x.slots = make(chan struct{}, x.Parallel) })
	run := &execution{Executor: x, slug: plan.Slug, slot: newSlot(x.slots), ids: map[state.ComponentName]string{}, unstarted: map[string]string{}}
	run.slot.change(1, 0) // until its first steps work
	defer run.slot.end()
	began := time.Now()
	x.OnProgress(Progress{Slug: plan.Slug})
	err := run.walk(ctx, plan.Steps)
	if err != nil {
		err = errors.Join(err, run.discard(ctx))
	}
	x.OnProgress(Progress{Slug: plan.Slug, Done: true, Took: time.Since(began), Err: err})
	return err
}

// run is the execution of one bottle's plan.
type execution struct {
	*Executor
	slot slot
	slug string

	mu        sync.Mutex
	ids       map[state.ComponentName]string // containers created by this run
	unstarted map[string]string              // of those, the name by ID of the ones not started yet
}

// do carries out one step. What changes the engine is not cut off half-way when ctx ends.
func (r *execution) perform(ctx context.Context, s plan.Step) error {
	call, cancel := limited(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	err := r.dispatch(ctx, call, s)
	if err != nil && call.Err() != nil {
		return errors.Join(context.Cause(call), err)
	}
	return err
}

func (r *execution) dispatch(ctx, call context.Context, s plan.Step) error {
	id := r.container(s)
	switch s.Action {
	case plan.EnsureImage:
		return r.yieldSlotWhile(func() error { return r.image(ctx, s.Object, r.fetch) })
	case plan.BuildImage:
		return r.yieldSlotWhile(func() error { return r.image(ctx, s.Object, build{r, s.Declared.Build}.image) })
	case plan.CreateNetwork:
		return r.createNetwork(call, s.Network)
	case plan.RemoveNetwork:
		return r.removeNetwork(call, s)
	case plan.WriteFiles:
		return r.Engine.WriteFiles(call, s.Dir)
	case plan.RemoveFiles:
		return r.Engine.RemoveFiles(call, s.Object)
	case plan.Create:
		return r.create(call, s)
	case plan.Start:
		return r.start(ctx, call, id, s)
	case plan.Await:
		return r.yieldSlotWhile(func() error { return r.awaitReady(ctx, id, engine.Readiness{}, time.Time{}) })
	case plan.Reload:
		return r.reload(ctx, id, s.Declared.Config)
	case plan.Unpause:
		return r.Engine.UnpauseContainer(call, id)
	case plan.Connect:
		return r.Engine.Connect(call, s.Attachment.Network, id, s.Attachment.Aliases)
	case plan.Reconnect:
		if err := r.Engine.Disconnect(call, s.Attachment.Network, id); err != nil {
			return err
		}
		return r.Engine.Connect(call, s.Attachment.Network, id, s.Attachment.Aliases)
	case plan.Disconnect:
		return r.Engine.Disconnect(call, s.Attachment.Network, id)
	case plan.UpdateLimits:
		r.Cache.Forget(id)
		return r.Engine.UpdateLimits(call, id, s.Declared.Container.Limits)
	case plan.Stop:
		return r.yieldSlotWhile(func() error { return r.Engine.StopContainer(call, id, agentGrace) })
	case plan.Remove:
		return r.remove(call, s)
	}
	return fmt.Errorf("unknown action %q", s.Action)
}

func (r *execution) container(s plan.Step) string {
	if s.ContainerID != "" {
		return s.ContainerID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[s.Component]
}

func (r *execution) create(ctx context.Context, s plan.Step) error {
	id, err := r.Engine.CreateContainer(ctx, s.Declared.Container)
	if errors.Is(err, engine.ErrConflict) {
		return r.explainConflict(ctx, s.Object, err)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[s.Component], r.unstarted[id] = id, s.Object
	return nil
}

// explainConflict says whose the container is that has the name.
func (r *execution) explainConflict(ctx context.Context, name string, conflict error) error {
	id, owner, err := r.Engine.ContainerOwner(ctx, name)
	switch {
	case err != nil:
		return errors.Join(conflict, err)
	case owner == "":
		return fmt.Errorf("%w: container %s (%.12s) has it and was not made by bottled: rename or remove it (%s), or use another --prefix", errTaken, name, id,
			fmt.Sprintf(r.Engine.Capabilities().Commands.RemoveContainer, id[:min(12, len(id))]))
	case owner != r.Settings.Owner:
		return fmt.Errorf("%w: container %s (%.12s) belongs to bottled's owner %q: use another --prefix, or another name for the bottle", errTaken, name, id, owner)
	}
	return conflict
}

func (r *execution) start(ctx, call context.Context, id string, s plan.Step) error {
	began := time.Now()
	if err := r.Engine.StartContainer(call, id, s.Declared.Container.Mounts); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.unstarted, id)
	r.mu.Unlock()
	return r.yieldSlotWhile(func() error {
		if kinds.All.Of(s.Declared.Name).Ready == component.ReadyWhenStable {
			return r.awaitStable(ctx, id, began)
		}
		// Reports count since the last run ended, not since the call: an execution that was killed may have started it before.
		return r.awaitReady(ctx, id, engine.Readiness{Config: s.Declared.Config, Since: s.LastRun}, began)
	})
}

func (r *execution) reload(ctx context.Context, id, config string) error {
	began := time.Now()
	return r.yieldSlotWhile(func() error {
		return r.bounded(ctx, id, began, func(ctx context.Context) (engine.Report, error) { return r.Engine.Reload(ctx, id, config) })
	})
}

func (r *execution) remove(ctx context.Context, s plan.Step) error {
	if s.Graceful {
		err := r.yieldSlotWhile(func() error { return r.Engine.StopContainer(ctx, s.ContainerID, agentGrace) })
		if err != nil {
			return err
		}
	}
	r.drainAudit(ctx, s)
	if err := r.Engine.RemoveContainer(ctx, s.ContainerID); err != nil {
		return fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveContainer, err, s.Object)
	}
	return nil
}

// discard removes what a failed run created and did not start, so that a failure leaves nothing behind.
func (r *execution) discard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	var failed []error
	for id, name := range r.unstarted {
		if err := r.Engine.RemoveContainer(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveContainer, err, name))
		}
	}
	return errors.Join(failed...)
}

// record has a sidecar's last decisions put on record before its container, and its log with it, is removed. That does not
// wait for long, and does not keep the container: what is missing is a gap in the audit log.
func (r *execution) drainAudit(ctx context.Context, s plan.Step) {
	if r.Audit != nil && kinds.All.Of(s.Component).Audited {
		r.Audit.Last(ctx, r.slug, s.Component, s.ContainerID)
	}
}
