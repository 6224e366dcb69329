package proposals

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// ShowOptions are the options of bottled proposals show.
type ShowOptions struct {
	command.Streams
	Find   func(ctx context.Context, id string) (reconciler.Proposal, error)
	Review func(ctx context.Context, id string) (reconciler.Review, error)
	ID     string
	Patch  bool
	Output command.Output
}

// NewShow makes the command. It calls runF, if that is not nil, instead of running.
func NewShow(f *command.Factory, runF func(*ShowOptions) error) *cobra.Command {
	opts := &ShowOptions{Streams: f.Streams, Find: f.Service.FindProposal, Review: f.Service.Review}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a proposal, and what its approval would change",
		Long: `Show a proposal: the agent's reason, what the bottle was refused before it asked, the change of the manifest as a diff, what the
controller would do then, and what to beware of.`,
		Example: `  bottled proposals show k3x9abcd
  bottled proposals show k3x9abcd -o json
  bottled proposals show k3x9abcd --patch | git am`,
		Args:              command.ExactlyOne("proposal"),
		ValidArgsFunction: f.CompleteProposals(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ID = args[0]
			return command.Run(cmd.Context(), opts, runF, show)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	cmd.Flags().BoolVar(&opts.Patch, "patch", false, "print nothing but the change: for git am where it waits to be merged, else for patch")
	return cmd
}

func show(ctx context.Context, opts *ShowOptions) error {
	p, err := opts.Find(ctx, opts.ID)
	if err != nil {
		return err
	}
	review, err := opts.Review(ctx, p.ID)
	if err != nil {
		return err
	}
	if opts.Patch {
		return opts.Out.Data([]byte(cmp.Or(review.Patch, review.Diff)))
	}
	if done, err := opts.Output.Data(opts.Out, review); done {
		return err
	}
	return opts.Out.Lines(report.Review(review, opts.ID, time.Now()))
}
