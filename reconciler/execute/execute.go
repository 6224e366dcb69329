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
	// callTimeout limits each engine call that changes something, except image transfers.
	callTimeout = 2 * time.Minute
	// stableAfter is the run time from which a workload counts as started.
	stableAfter = 500 * time.Millisecond
)

var (
	// ErrStale marks an execution that failed only because something changed after it was planned, such as a late effect of a
	// controller that was killed a moment ago. Plan again.
	ErrStale = errors.New("the engine changed while the plan was executed")
	// errNameTaken marks a container name that belongs to somebody else.
	errNameTaken = errors.New("name taken")
)

// Progress is the begin or end of a step or of a bottle's execution.
type Progress struct {
	Slug string
	Step *plan.Step // nil: the bottle's whole execution
	Done bool       // false at the begin
	Took time.Duration
	Err  error
}

// Executor executes plans. Nothing else changes the engine, except sessions.
type Executor struct {
	Engine   engine.Engine
	Settings state.Settings
	Cache    *observe.Cache
	// BuiltinImage is loaded when a component needs it and the engine doesn't have it.
	BuiltinImage BuiltinImage
	Parallel     int                // limit of concurrently executing bottles, not counting those in a long wait
	Timeout      time.Duration      // for a component to become ready
	OnProgress   func(Progress)     // called concurrently; never nil
	Audit        *collect.Collector // records the steps, and a sidecar's last decisions before its container is removed; nil for none

	images singleflight.Group // by reference: concurrent bottles share a pull, load or build
	slots  chan struct{}      // semaphore: limits how many bottles execute at once
	once   sync.Once          // makes slots
}

// BuiltinImage is the image of the built-in sidecars.
type BuiltinImage interface {
	Load(ctx context.Context, e engine.Engine) error
}

// Bottle executes the plan of one bottle once a slot is free. After a failure it removes the containers that it created and did not
// start.
func (x *Executor) Bottle(ctx context.Context, plan plan.BottlePlan) error {
	if len(plan.Steps) == 0 {
		return plan.Err
	}
	x.once.Do(func() { x.slots = make(chan struct{}, x.Parallel) })
	run := &execution{Executor: x, slug: plan.Slug, desired: plan.Desired, slot: newSlot(x.slots), ids: map[state.ComponentName]string{}, unstarted: map[string]string{}, stopped: map[string]bool{}}
	run.slot.change(1, 0) // until its first steps work
	defer run.slot.end()
	began := time.Now()
	x.OnProgress(Progress{Slug: plan.Slug})
	err := run.walk(ctx, plan.Steps)
	if err != nil {
		err = errors.Join(err, run.discard(ctx))
	}
	err = errors.Join(plan.Err, err)
	x.Audit.CommitChanges(plan.Slug)
	x.OnProgress(Progress{Slug: plan.Slug, Done: true, Took: time.Since(began), Err: err})
	return err
}

// execution is the execution of one bottle's plan.
type execution struct {
	*Executor
	slot    slot
	slug    string
	desired *state.Bottle // nil for a removal

	mu        sync.Mutex
	ids       map[state.ComponentName]string // containers created by this execution
	unstarted map[string]string              // names, by ID, of those not started yet
	stopped   map[string]bool                // IDs of the containers that it stopped
}

// perform executes one step. Calls that change the engine are not cancelled with ctx, only limited by callTimeout.
func (r *execution) perform(ctx context.Context, s plan.Step) error {
	call, cancel := withCallTimeout(context.WithoutCancel(ctx), callTimeout+s.Grace)
	defer cancel()
	err := r.dispatch(ctx, call, s)
	if err != nil && call.Err() != nil {
		return errors.Join(context.Cause(call), err)
	}
	return err
}

// writeFiles delivers a directory, unless the content of a file is not known.
func (r *execution) writeFiles(ctx context.Context, dir state.Dir) error {
	for name, f := range dir.Files {
		if f.Unknown != "" {
			return fmt.Errorf("internal error: %s/%s (%s) was only planned", dir.Path, name, f.Unknown)
		}
	}
	return r.Engine.WriteFiles(ctx, dir)
}

// dispatch calls the engine for a step: waits end with ctx, changes with call.
func (r *execution) dispatch(ctx, call context.Context, s plan.Step) error {
	id := r.containerID(s)
	switch s.Action {
	case plan.EnsureImage:
		return r.yieldSlotWhile(func() error { return r.ensureImage(ctx, s.Object, r.fetchImage) })
	case plan.BuildImage:
		return r.yieldSlotWhile(func() error { return r.ensureImage(ctx, s.Object, imageBuild{r, s.Declared.Build}.run) })
	case plan.CreateNetwork:
		return r.createNetwork(call, s.Network)
	case plan.RemoveNetwork:
		return r.removeNetwork(call, s)
	case plan.CreateVolume:
		return r.Engine.CreateVolume(call, s.Volume)
	case plan.RemoveVolume:
		return r.removeVolume(call, s.Object)
	case plan.WriteFiles:
		return r.writeFiles(call, s.Dir)
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
		return r.Engine.Connect(call, id, s.Attachment)
	case plan.Reconnect:
		if err := r.Engine.Disconnect(call, s.Attachment.Network, id); err != nil {
			return err
		}
		return r.Engine.Connect(call, id, s.Attachment)
	case plan.Disconnect:
		return r.Engine.Disconnect(call, s.Attachment.Network, id)
	case plan.UpdateLimits:
		r.Cache.Forget(id)
		return r.Engine.UpdateLimits(call, id, s.Declared.Container.Limits)
	case plan.Stop:
		return r.stop(call, id, s.Grace)
	case plan.Remove:
		return r.remove(call, s)
	}
	return fmt.Errorf("unknown action %q", s.Action)
}

func (r *execution) containerID(s plan.Step) string {
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

// explainConflict returns the error for a taken name: it names the container's owner.
func (r *execution) explainConflict(ctx context.Context, name string, conflict error) error {
	id, owner, err := r.Engine.ContainerOwner(ctx, name)
	switch {
	case err != nil:
		return errors.Join(conflict, err)
	case owner == "":
		return fmt.Errorf("%w: container %s (%.12s) has it and was not made by bottled: rename or remove it (%s), or use another --prefix", errNameTaken, name, id,
			fmt.Sprintf(r.Engine.Capabilities().Commands.RemoveContainer, id[:min(12, len(id))]))
	case owner != r.Settings.Owner:
		return fmt.Errorf("%w: container %s (%.12s) belongs to bottled's owner %q: use another --prefix, or another name for the bottle", errNameTaken, name, id, owner)
	}
	return conflict
}

func (r *execution) removeVolume(ctx context.Context, name string) error {
	if err := r.Engine.RemoveVolume(ctx, name); err != nil {
		return fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveVolume, err, name)
	}
	return nil
}

func (r *execution) stop(ctx context.Context, id string, grace time.Duration) error {
	if err := r.yieldSlotWhile(func() error { return r.Engine.StopContainer(ctx, id, grace) }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped[id] = true
	return nil
}

// lastEnd returns the end of a container's last run. The plan does not know it when the execution itself stopped the container.
func (r *execution) lastEnd(ctx context.Context, id string, planned time.Time) (time.Time, error) {
	r.mu.Lock()
	stopped := r.stopped[id]
	r.mu.Unlock()
	if !stopped {
		return planned, nil
	}
	detail, err := r.Engine.Inspect(ctx, id)
	return detail.EndedAt, err
}

func (r *execution) start(ctx, call context.Context, id string, s plan.Step) error {
	began := time.Now()
	lastEnd, err := r.lastEnd(call, id, s.LastRun)
	if err != nil {
		return err
	}
	if err := r.Engine.StartContainer(call, id, s.Declared.Container.Mounts); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.unstarted, id)
	r.mu.Unlock()
	return r.yieldSlotWhile(func() error {
		switch kinds.All.Of(s.Declared.Name).Ready {
		case component.ReadyWhenStable:
			return completion(s, r.awaitStable(ctx, id, began))
		case component.ReadyWhenStableAndHealthy:
			return r.awaitStable(ctx, id, began)
		case component.ReadyWhenHealthy:
		}
		// Reports count from the end of the last run, not from this call: a killed execution may have started it before.
		return r.awaitReady(ctx, id, engine.Readiness{Config: s.Declared.Config, Since: lastEnd}, began)
	})
}

// completion returns nil for the error of a component that ended at once and for good, as a short task does; the next plan judges it.
func completion(s plan.Step, err error) error {
	var ended engine.EndedError
	if errors.As(err, &ended) && (ended.ExitCode == 0 || s.EndIsFinal) {
		return nil
	}
	return err
}

func (r *execution) reload(ctx context.Context, id, config string) error {
	began := time.Now()
	err := r.yieldSlotWhile(func() error {
		return r.waitWithTimeout(ctx, id, began, func(ctx context.Context) (engine.Report, error) { return r.Engine.Reload(ctx, id, config) })
	})
	if errors.Is(err, errNotReady) {
		r.Cache.MarkUnresponsive(id)
	}
	return err
}

func (r *execution) remove(ctx context.Context, s plan.Step) error {
	if s.Grace > 0 {
		err := r.yieldSlotWhile(func() error { return r.Engine.StopContainer(ctx, s.ContainerID, s.Grace) })
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

// discard removes the containers that a failed execution created and did not start.
func (r *execution) discard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var failed []error
	for id, name := range r.unstarted {
		// The answer to its start may be what was lost.
		if detail, err := r.Engine.Inspect(ctx, id); err != nil && !errors.Is(err, engine.ErrNotFound) || !detail.StartedAt.IsZero() {
			failed = append(failed, err)
			continue
		}
		if err := r.Engine.RemoveContainer(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveContainer, err, name))
		}
	}
	return errors.Join(failed...)
}

// drainAudit records a sidecar's last decisions before its container, and its log with it, is removed. It takes a few seconds at
// most and never prevents the removal: what could not be read becomes a gap in the audit log.
func (r *execution) drainAudit(ctx context.Context, s plan.Step) {
	if r.Audit != nil && kinds.All.Of(s.Component).Audited {
		r.Audit.Drain(ctx, r.slug, s.Component, s.ContainerID)
	}
}
