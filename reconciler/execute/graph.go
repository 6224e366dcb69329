package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// StepError is the failure of one step.
type StepError struct {
	Step plan.Step
	Err  error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Step.Action, e.Step.Object, e.Err)
}
func (e *StepError) Unwrap() error { return e.Err }

// StepErrors returns the failures of steps among what Executor.Bottle returned, in the order of the plan.
func StepErrors(err error) []*StepError {
	if step, ok := err.(*StepError); ok { //nolint:errorlint // the tree is walked here
		return []*StepError{step}
	}
	var found []*StepError
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		found = StepErrors(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = append(found, StepErrors(one)...)
		}
	}
	return found
}

// graphWalk is the state of one walk over a plan's graph. Steps are named by their index.
type graphWalk struct {
	*execution
	steps      []plan.Step
	dependents [][]int // by step: the steps that have it as a prerequisite
	unmet      []int   // by step: number of prerequisites that are not done
	ready      []int   // steps to start
	running    int
	done       chan stepResult
	failed     []stepResult
}

type stepResult struct {
	id  int
	err error
}

// walk executes the steps, each as soon as its prerequisites are done. Dependents of a failed step are skipped; the rest continues.
// When ctx ends, the running steps are finished and no further ones started. It returns all failures, in the order of the plan.
func (r *execution) walk(ctx context.Context, steps []plan.Step) error {
	w := graphWalk{
		execution: r, steps: steps, done: make(chan stepResult),
		dependents: make([][]int, len(steps)), unmet: make([]int, len(steps)),
	}
	for id, s := range steps {
		w.unmet[id] = len(s.After)
		for _, on := range s.After {
			w.dependents[on] = append(w.dependents[on], id)
		}
		if len(s.After) == 0 {
			w.ready = append(w.ready, id)
		}
	}
	for w.startReady(ctx); w.running > 0; w.startReady(ctx) {
		w.slot.change(-1, 0) // for the finished step, once its dependents are started
		w.complete(<-w.done)
	}
	return errors.Join(w.failures(), w.interruption(ctx))
}

// startReady starts the ready steps, unless ctx has ended.
func (w *graphWalk) startReady(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	for _, id := range w.ready {
		w.running++
		w.slot.change(1, 0)
		go func() { w.done <- stepResult{id, w.runStep(ctx, w.steps[id])} }()
	}
	w.ready = nil
}

// complete records the result of a step, and marks the dependents ready that have no other unmet prerequisite.
func (w *graphWalk) complete(r stepResult) {
	w.running--
	if r.err != nil {
		w.failed = append(w.failed, r)
		return
	}
	for _, id := range w.dependents[r.id] {
		if w.unmet[id]--; w.unmet[id] == 0 {
			w.ready = append(w.ready, id)
		}
	}
}

// failures joins the errors of the failed steps. The result wraps ErrStale if each of them is stale.
func (w *graphWalk) failures() error {
	slices.SortFunc(w.failed, func(a, b stepResult) int { return cmp.Compare(a.id, b.id) })
	var all []error
	stale := true
	for _, f := range w.failed {
		all = append(all, f.err)
		stale = stale && isStale(w.steps[f.id], f.err)
	}
	err := errors.Join(all...)
	if err != nil && stale {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return err
}

// interruption returns an error that names the first step that was not started because ctx ended; nil if none.
func (w *graphWalk) interruption(ctx context.Context) error {
	if len(w.ready) == 0 {
		return nil
	}
	s := w.steps[slices.Min(w.ready)]
	return fmt.Errorf("interrupted before: %s %s: %w", s.Action, s.Object, context.Cause(ctx))
}

// runStep executes one step and reports its progress.
func (r *execution) runStep(ctx context.Context, s plan.Step) error {
	began := time.Now()
	r.OnProgress(Progress{Slug: r.slug, Step: &s})
	err := r.perform(ctx, s)
	if err != nil {
		err = &StepError{s, err}
	}
	r.audit(s, err)
	r.OnProgress(Progress{Slug: r.slug, Step: &s, Done: true, Took: time.Since(began), Err: err})
	return err
}

// audit records a step that changed something, or should have.
func (r *execution) audit(s plan.Step, err error) {
	if s.Action == plan.Await {
		return
	}
	change := audit.Change{Bottle: r.slug, Action: string(s.Action), Component: string(s.Component), Object: s.Object, Cause: s.Cause}
	if r.desired != nil {
		change.Generation, change.SpecHash = r.desired.Generation, r.desired.SpecHash
	}
	r.Audit.RecordChange(change, err)
}

// isStale reports whether a step failed because the engine or an input changed after planning, so that a new plan may succeed.
func isStale(s plan.Step, err error) bool {
	switch {
	case errors.Is(err, buildcontext.ErrChanged):
		return true
	case s.Action == plan.EnsureImage, s.Action == plan.BuildImage, errors.Is(err, errNameTaken):
		return false // planning again adds no image to a registry and frees no name
	}
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) || errors.Is(err, engine.ErrPaused) ||
		errors.Is(err, state.ErrMount)
}
