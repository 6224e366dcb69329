package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// PassFlags are the flags of a pass.
type PassFlags struct {
	Prune string
	Deep  bool
	Files []string
}

// AddFlags declares the flags.
func (p *PassFlags) AddFlags(f *pflag.FlagSet) {
	p.Prune = string(plan.PruneGuarded)
	f.Var(Choice(&p.Prune, string(plan.PruneGuarded), string(plan.PruneAll), string(plan.PruneNone)), "prune",
		"bottles whose manifest is gone: guarded (remove, unless that looks like an accident), all, none")
	f.StringArrayVarP(&p.Files, "filename", "f", nil, "`file` with some of the manifests, or - for stdin, instead of DIR: other bottles are left alone")
	f.BoolVar(&p.Deep, "deep", false, "inspect every container, also those that a listing shows unchanged")
}

// Options returns the paths of the manifests and the options of a pass. What is given by -f, or on stdin, is a part of the manifests: what
// they don't declare is no reason to remove anything.
func (p PassFlags) Options(dirs []string) ([]string, pass.Options, error) {
	o := pass.Options{Prune: plan.PrunePolicy(p.Prune), Deep: p.Deep}
	if slices.Contains(dirs, service.Stdin) || len(p.Files) > 0 {
		if len(dirs) > 0 && len(p.Files) > 0 {
			return nil, o, exit.Usage(errors.New("name directories of manifests, or files with -f: one of the two"))
		}
		if o.Prune == plan.PruneAll {
			return nil, o, exit.Usage(errors.New("--prune all removes what is not declared, and -f and - give only a part of the manifests: name the directory"))
		}
		dirs, o.Prune = append(dirs, p.Files...), plan.PrunePartial
	}
	return dirs, o, nil
}

// ManifestArgs accepts directories and files of manifests, or none when they are given by -f.
func ManifestArgs(files *[]string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return AtLeastOne("a directory or file of manifests")(cmd, append(args, *files...))
	}
}

// Planner plans a pass: a [service.Service].
type Planner interface {
	Load(paths []string) (source.Snapshot, error)
	Plan(ctx context.Context, snapshot source.Snapshot, o pass.Options) (service.Planned, error)
}

// Plan prints what a pass would do. The error says that there is something.
func (s Streams) Plan(ctx context.Context, planner Planner, dirs []string, o pass.Options, output Output) error {
	snapshot, err := s.Load(planner, dirs)
	if err != nil {
		return err
	}
	planned, err := planner.Plan(ctx, snapshot, o)
	if err != nil {
		return err
	}
	if err := output.Plan(s.Out, planned); err != nil {
		return err
	}
	failed := map[string]error{}
	for _, b := range planned.Bottles {
		if b.Err != nil {
			failed[b.Slug] = b.Err
		}
	}
	if err := s.Verdict(snapshot, pass.Result{Plan: planned.Plan, Failed: failed}); err != nil {
		return err
	}
	if planned.Changes() {
		return exit.Differences()
	}
	return nil
}

// Load reads manifests for a pass, and prints what is wrong or risky in them.
func (s Streams) Load(planner Planner, dirs []string) (source.Snapshot, error) {
	snapshot, err := planner.Load(dirs)
	if err != nil {
		return snapshot, err
	}
	return snapshot, s.PrintNotices(snapshot)
}

// Verdict is the error that a pass ends with, if it does not end well.
func (s Streams) Verdict(snapshot source.Snapshot, result pass.Result) error {
	if held := result.Plan.Held; len(held) > 0 && result.Plan.PruneErr == nil {
		if err := s.Errs.Line("kept, though not declared: %v (%s)", held, result.Plan.HeldWhy); err != nil {
			return err
		}
	}
	if err := result.Plan.PruneErr; err != nil {
		return err
	}
	failed := 0
	for _, err := range result.Failed {
		if !errors.Is(err, reconciler.ErrInvalid) {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s not as declared", failed, report.Count(len(result.Plan.Bottles), "bottle"))
	}
	return Problems(snapshot)
}

// Problems is the error that says how many problems are in manifests; nil for none.
func Problems(snapshot source.Snapshot) error {
	if n := len(snapshot.Problems); n > 0 {
		return exit.Invalid(fmt.Errorf("%s in the manifests", report.Count(n, "problem")))
	}
	return nil
}
