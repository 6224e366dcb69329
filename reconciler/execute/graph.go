// Package execute carries out plans. It is the only place that changes the engine: it walks the graph of a bottle's plan, waits for
// readiness, gets images and writes files.
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

// walk is one walk over the graph of a plan.
type walk struct {
	*execution
	steps      []plan.Step
	dependents [][]int
	missing    []int // by step: how many prerequisites are not done yet
	ready      []int // to be begun
	running    int
	done       chan stepResult
	failed     []stepResult
}

type stepResult struct {
	id  int
	err error
}

// walk carries out the steps, each as soon as its prerequisites are done. What depends on a failed step is not begun; the rest goes
// on. When ctx ends, the steps in hand are finished and no further ones begun. All failures are returned, in the order of the plan.
func (r *execution) walk(ctx context.Context, steps []plan.Step) error {
	w := walk{
		execution: r, steps: steps, done: make(chan stepResult),
		dependents: make([][]int, len(steps)), missing: make([]int, len(steps)),
	}
	for id, s := range steps {
		w.missing[id] = len(s.After)
		for _, on := range s.After {
			w.dependents[on] = append(w.dependents[on], id)
		}
		if len(s.After) == 0 {
			w.ready = append(w.ready, id)
		}
	}
	for w.begin(ctx); w.running > 0; w.begin(ctx) {
		w.slot.change(-1, 0) // for the step that was finished, now that those after it are begun
		w.finish(<-w.done)
	}
	return errors.Join(w.failures(), w.interruption(ctx))
}

// begin starts what is ready, unless ctx has ended.
func (w *walk) begin(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	for _, id := range w.ready {
		w.running++
		w.slot.change(1, 0)
		go func() { w.done <- stepResult{id, w.step(ctx, w.steps[id])} }()
	}
	w.ready = nil
}

func (w *walk) finish(r stepResult) {
	w.running--
	if r.err != nil {
		w.failed = append(w.failed, r)
		return
	}
	for _, id := range w.dependents[r.id] {
		if w.missing[id]--; w.missing[id] == 0 {
			w.ready = append(w.ready, id)
		}
	}
}

// failures joins the errors. They are stale when a new plan may do without each of them.
func (w *walk) failures() error {
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

// interruption names the first step that was not begun because ctx ended.
func (w *walk) interruption(ctx context.Context) error {
	if len(w.ready) == 0 {
		return nil
	}
	s := w.steps[slices.Min(w.ready)]
	return fmt.Errorf("interrupted before: %s %s: %w", s.Action, s.Object, context.Cause(ctx))
}

// step carries out one step and reports its progress.
func (r *execution) step(ctx context.Context, s plan.Step) error {
	began := time.Now()
	r.OnProgress(Progress{Slug: r.slug, Step: &s})
	err := r.perform(ctx, s)
	if err != nil {
		err = &StepError{s, err}
	}
	r.OnProgress(Progress{Slug: r.slug, Step: &s, Done: true, Took: time.Since(began), Err: err})
	return err
}

// isStale reports whether a step failed for something that its plan did not know.
func isStale(s plan.Step, err error) bool {
	switch {
	case errors.Is(err, buildcontext.ErrChanged):
		return true
	case s.Action == plan.EnsureImage, s.Action == plan.BuildImage, errors.Is(err, errTaken):
		return false // a registry that does not have an image, or a name that is somebody else's, will not change
	}
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) || errors.Is(err, engine.ErrPaused) ||
		errors.Is(err, state.ErrMount)
}
