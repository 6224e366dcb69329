// Package proposals is bottled proposals.
package proposals

import (
	"context"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// Options of the command.
type Options struct {
	command.Streams
	List    func(ctx context.Context) (service.Proposals, error)
	Follow  func(ctx context.Context, show func(service.Proposals) error, report func(error)) error
	Log     *zerolog.Logger
	Bottles []string // only those of these; all of them without any
	Output  command.Output
	Watch   bool
	All     bool // also those that are answered
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Log: &f.Service.Log, List: f.Service.Proposals, Follow: f.Service.FollowProposals}
	cmd := &cobra.Command{
		Use:   "proposals [BOTTLE…]",
		Short: "List what agents ask for",
		Long: `List what agents ask for and what waits for a decision, the oldest first; with --all also the last ones that were answered. An ID is
shown as far as it takes to tell it from the others, and can be given so to "proposals show", "approve" and "reject".

With --watch it goes on until it is interrupted. On a terminal the table is updated in place, and the terminal's bell rings for a new one.
Without a controller the bottles' queues are read; only a controller can answer.`,
		Example: `  bottled proposals
  bottled proposals dev --all
  bottled proposals --watch
  bottled proposals show k3x9abcd`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	cmd.Flags().BoolVarP(&opts.Watch, "watch", "w", false, "go on, and show every change")
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "also the last ones that were answered")
	cmd.AddCommand(NewShow(f, nil))
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	if opts.Watch {
		return watch(ctx, opts)
	}
	all, err := opts.List(ctx)
	if err != nil {
		return err
	}
	for _, w := range all.Warnings {
		if err := opts.Errs.Line("warning: %s", w); err != nil {
			return err
		}
	}
	return opts.print(all)
}

// selected are the proposals that were asked for.
func (o *Options) selected(all service.Proposals) []reconciler.Proposal {
	selected := []reconciler.Proposal{}
	for _, p := range all.Proposals {
		if (o.All || p.State != reconciler.ProposalAnswered) && (len(o.Bottles) == 0 || slices.Contains(o.Bottles, p.Bottle)) {
			selected = append(selected, p)
		}
	}
	return selected
}

func (o *Options) print(all service.Proposals) error {
	listed := all
	listed.Proposals = o.selected(all)
	if done, err := o.Output.Data(o.Out, listed); done {
		return err
	}
	return o.Out.Lines(o.lines(all, time.Now()))
}

// lines returns the table. A short ID is unique among all proposals, also those that are not shown.
func (o *Options) lines(all service.Proposals, now time.Time) []report.Line {
	var lines []report.Line
	if all.Offline {
		lines = append(lines, report.Line{Text: "no controller runs, so nothing is answered: start one with bottled reconcile DIR…", Wrap: true}, report.Line{})
	}
	selected := o.selected(all)
	if len(selected) == 0 {
		return append(lines, report.Line{Text: "no proposals"})
	}
	return append(lines, report.Proposals(selected, report.ShortIDs(all.Proposals), now)...)
}
