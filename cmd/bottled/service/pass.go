package service

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// Load reads manifests for a pass.
func (s *Service) Load(paths []string) (source.Snapshot, error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return source.Snapshot{}, err
	}
	memory, err := store.OpenWritableMemory(settings)
	if err != nil {
		return source.Snapshot{}, err
	}
	return s.load(memory.Known(), paths)
}

// Stdin as a path stands for the manifests on stdin.
const Stdin = "-"

func (s *Service) load(known source.Known, paths []string) (source.Snapshot, error) {
	if slices.Contains(paths, Stdin) {
		return s.loadStdin(known, paths)
	}
	return load(known, paths)
}

func (s *Service) loadStdin(known source.Known, paths []string) (source.Snapshot, error) {
	if len(paths) > 1 {
		return source.Snapshot{}, exit.Usage(errors.New("- takes all manifests from stdin: name nothing else"))
	}
	here, err := os.Getwd()
	if err != nil {
		return source.Snapshot{}, err
	}
	return source.LoadStream(known, s.Stdin, "stdin", here)
}

func load(known source.Known, paths []string) (source.Snapshot, error) {
	snapshot, err := source.LoadKnowing(known, paths...)
	if err != nil {
		return snapshot, exit.Usage(err)
	}
	return snapshot, nil
}

// Import converts claude-bottle's files to manifests.
func (s *Service) Import(paths []string) ([]source.Imported, error) {
	all, err := source.Import(s.Settings.Image(state.Agent), paths...)
	switch {
	case err != nil:
		return nil, exit.Usage(err)
	case len(all) == 0:
		return nil, exit.Usage(errors.New("no bottle of claude-bottle is there"))
	}
	return all, nil
}

// Planned is a plan, with the settings that it was made for.
type Planned struct {
	plan.Plan
	Settings state.Settings
}

// Plan computes what a pass would do.
func (s *Service) Plan(ctx context.Context, snapshot source.Snapshot, o pass.Options) (Planned, error) {
	r, err := s.reconciler(ctx)
	if err != nil {
		return Planned{}, err
	}
	p, err := r.Plan(ctx, snapshot, o)
	return Planned{p, r.Settings}, err
}

// PassResult is the outcome of a pass.
type PassResult struct {
	pass.Result
	Warnings []string // about the engine; also set when the pass fails
}

// Reconcile makes one pass. progress may be called from many goroutines; with nil, the steps are logged.
func (s *Service) Reconcile(ctx context.Context, snapshot source.Snapshot, o pass.Options, progress func(execute.Progress)) (PassResult, error) {
	r, release, err := s.lockedReconciler(ctx, progress)
	if err != nil {
		return PassResult{}, err
	}
	if err := rememberWritable(r.Settings, snapshot); err != nil {
		return PassResult{}, errors.Join(err, release())
	}
	r.TokenCommands = resolve.NewTokenCommands(resolve.RunTokenCommand)
	warnings := warningsOf(ctx, r)
	collected := make(chan error, 1)
	go func() { collected <- r.Executor.Audit.Collect(ctx) }()
	result, err := r.Once(ctx, snapshot, o)
	err = errors.Join(err, <-collected, r.Executor.Audit.Close())
	w := <-warnings
	return PassResult{result, w.all}, errors.Join(err, w.err, release())
}

// lockedReconciler makes a reconciler, and takes the owner's lock until release is called.
func (s *Service) lockedReconciler(ctx context.Context, progress func(execute.Progress)) (r *pass.Reconciler, release func() error, err error) {
	if r, err = s.reconciler(ctx); err != nil {
		return nil, nil, err
	}
	r.Executor.Audit.By(userName())
	if progress != nil {
		r.Executor.OnProgress = progress
	}
	release, err = store.Lock(r.Settings.StateDir, r.Settings.Owner)
	return r, release, err
}

// rememberWritable records what the agents of the bottles can write.
func rememberWritable(s state.Settings, snapshot source.Snapshot) error {
	memory, err := store.OpenWritableMemory(s)
	if err != nil {
		return err
	}
	return memory.Save(snapshot.Writable)
}

// engineWarnings are a bottle's promises that the engine can't keep, or why they are not known.
type engineWarnings struct {
	all []string
	err error
}

// warningsOf asks for the warnings in the background: an engine takes 25 ms to describe itself (20.10), since it runs programs.
func warningsOf(ctx context.Context, r *pass.Reconciler) <-chan engineWarnings {
	answer := make(chan engineWarnings, 1)
	go func() {
		all, err := r.Warnings(ctx)
		answer <- engineWarnings{all, err}
	}()
	return answer
}

// Deletion is the outcome of deleting a bottle.
type Deletion struct {
	Bottle string
	Err    error
}

// Delete removes bottles; all of the owner without names. progress is as for Reconcile.
func (s *Service) Delete(ctx context.Context, names []string, progress func(execute.Progress)) ([]Deletion, error) {
	r, release, err := s.lockedReconciler(ctx, progress)
	if errors.Is(err, store.ErrLocked) {
		return nil, s.besideController(ctx, names, err)
	}
	if err != nil {
		return nil, err
	}
	p, err := r.PlanDelete(ctx, names)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	var all []Deletion
	failed := r.Execute(ctx, p)
	for _, b := range p.Bottles {
		all = append(all, Deletion{b.Slug, failed[b.Slug]})
	}
	return all, errors.Join(r.Executor.Audit.Close(), release())
}
