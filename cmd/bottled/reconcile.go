package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

type passFlags struct {
	prune string
	deep  bool
}

func (p *passFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.prune, "prune", string(plan.PruneGuarded),
		"bottles whose manifest is gone: guarded (remove, unless that looks like an accident), all, none")
	f.BoolVar(&p.deep, "deep", false, "inspect every container, also those that a listing shows unchanged")
}

func (p *passFlags) options() (pass.Options, error) {
	switch policy := plan.PrunePolicy(p.prune); policy {
	case plan.PruneGuarded, plan.PruneAll, plan.PruneNone:
		return pass.Options{Prune: policy, Deep: p.deep}, nil
	}
	return pass.Options{}, exitError{exitBadInput, fmt.Errorf("--prune %q: use guarded, all or none", p.prune)}
}

func (a *app) reconcileCommand() *cobra.Command {
	var flags passFlags
	var once, dryRun bool
	var format output
	var stay stayFlags
	var git gitFlags
	cmd := &cobra.Command{
		Use:   "reconcile DIR… | --git URL[#branch]",
		Short: "Make the engine equal to the manifests, and keep it so",
		Long: `Make the engine equal to the manifests and keep it so, until a signal comes: SIGTERM finishes the step in hand and
leaves the bottles running, a second one quits; SIGHUP has everything looked at.
With --once, make one pass and end. --deep and --output are of --once and --dry-run: the controller always looks deep where
events may have been missed, and tells by bottled status.`,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			if (len(dirs) == 0) == (git.url == "") {
				return exitError{exitBadInput, errOneSource}
			}
			if !once && !dryRun {
				return a.stay(cmd, dirs, options, stay, git)
			}
			if git.url != "" {
				return exitError{exitBadInput, errors.New("--once and --dry-run take directories: check the repository out and name its directory")}
			}
			if dryRun {
				return a.plan(cmd, dirs, options, format)
			}
			return a.reconcile(cmd, dirs, options, format)
		},
	}
	flags.add(cmd.Flags())
	format.add(cmd.Flags())
	stay.add(cmd.Flags())
	git.add(cmd.Flags())
	cmd.Flags().BoolVar(&once, "once", false, "make one pass and end")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be done, as plan does")
	return cmd
}

// begin reads the manifests and connects to the engine.
func (a *app) begin(cmd *cobra.Command, dirs []string, format output) (manifests.Snapshot, *pass.Reconciler, error) {
	if err := format.check(); err != nil {
		return manifests.Snapshot{}, nil, err
	}
	settings, err := a.settings.state("")
	if err != nil {
		return manifests.Snapshot{}, nil, err
	}
	memory, err := store.OpenPlaceMemory(settings)
	if err != nil {
		return manifests.Snapshot{}, nil, err
	}
	snapshot, err := a.load(memory.Known(), dirs)
	if err != nil {
		return snapshot, nil, err
	}
	r, err := a.connect(cmd.Context())
	return snapshot, r, err
}

func (a *app) reconcile(cmd *cobra.Command, dirs []string, options pass.Options, format output) error {
	snapshot, r, err := a.begin(cmd, dirs, format)
	if err != nil {
		return err
	}
	release, err := store.Lock(r.Settings.StateDir, r.Settings.Owner)
	if err != nil {
		return err
	}
	if err := remember(r.Settings, snapshot); err != nil {
		return errors.Join(err, release())
	}
	gaps := askGaps(cmd.Context(), r)
	collected := make(chan error, 1)
	go func() { collected <- r.Executor.Audit.Collect(cmd.Context()) }()
	progress := a.watch(r)
	result, err := r.Once(cmd.Context(), snapshot, options)
	progress.end()
	if err := errors.Join(err, <-collected, a.warnOfGaps(<-gaps), release()); err != nil {
		return err
	}
	if err := format.bottles(a.out, result.Bottles); err != nil {
		return err
	}
	return a.verdict(snapshot, result)
}

// remember keeps in the state directory what the bottles' agents can write.
func remember(s state.Settings, snapshot manifests.Snapshot) error {
	memory, err := store.OpenPlaceMemory(s)
	if err != nil {
		return err
	}
	return memory.Save(snapshot.Writable)
}

// gapsAnswer is what of a bottle's promises the engine can't keep, or why that is not known.
type gapsAnswer struct {
	gaps []string
	err  error
}

// askGaps asks besides whatever else is asked: an engine takes 25 ms to tell of itself (20.10), since it runs programs for it.
func askGaps(ctx context.Context, r *pass.Reconciler) <-chan gapsAnswer {
	answer := make(chan gapsAnswer, 1)
	go func() {
		gaps, err := r.Warnings(ctx)
		answer <- gapsAnswer{gaps, err}
	}()
	return answer
}

func (a *app) warnOfGaps(answer gapsAnswer) error {
	for _, gap := range answer.gaps {
		a.log.Warn().Msg(gap)
	}
	return answer.err
}

// verdict turns the outcome into the exit code.
func (a *app) verdict(snapshot manifests.Snapshot, result pass.Result) error {
	if held := result.Plan.Held; len(held) > 0 && result.Plan.PruneErr == nil {
		if err := a.errs.line("kept, though not declared: %v (%s)", held, result.Plan.HeldWhy); err != nil {
			return err
		}
	}
	if err := result.Plan.PruneErr; err != nil {
		return exitError{exitFailed, err}
	}
	failed := 0
	for _, err := range result.Failed {
		if !errors.Is(err, reconciler.ErrInvalid) {
			failed++
		}
	}
	switch {
	case failed > 0:
		return exitError{exitFailed, fmt.Errorf("%d of %s not as declared", failed, count(len(result.Plan.Bottles), "bottle"))}
	case len(snapshot.Problems) > 0:
		return exitError{exitBadInput, fmt.Errorf("%s in the manifests", count(len(snapshot.Problems), "problem"))}
	}
	return nil
}

func (a *app) planCommand() *cobra.Command {
	var flags passFlags
	var format output
	cmd := &cobra.Command{
		Use:   "plan DIR…",
		Short: "Print what reconcile would do; exit with 2 when there is anything",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			return a.plan(cmd, dirs, options, format)
		},
	}
	flags.add(cmd.Flags())
	format.add(cmd.Flags())
	return cmd
}

func (a *app) plan(cmd *cobra.Command, dirs []string, options pass.Options, format output) error {
	snapshot, r, err := a.begin(cmd, dirs, format)
	if err != nil {
		return err
	}
	plan, err := r.Plan(cmd.Context(), snapshot, options)
	if err != nil {
		return err
	}
	if err := format.plan(a.out, plan, r.Settings); err != nil {
		return err
	}
	failed := map[string]error{}
	for _, b := range plan.Bottles {
		if b.Err != nil {
			failed[b.Slug] = b.Err
		}
	}
	if err := a.verdict(snapshot, pass.Result{Plan: plan, Failed: failed}); err != nil {
		return err
	}
	if plan.Changes() {
		return exitError{code: exitDifferences}
	}
	return nil
}
