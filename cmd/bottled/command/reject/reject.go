// Package reject is bottled reject.
package reject

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
)

// Options of the command.
type Options struct {
	command.Streams
	Service command.Decisions
	IDs     []string
	Note    string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	cmd := &cobra.Command{
		Use:   "reject ID… --note TEXT",
		Short: "Reject what an agent asks for",
		Long: `Reject what an agent asks for. The agent gets the note: say what it can do instead, or it may ask again. An ID may be
abbreviated as "bottled proposals" shows it.`,
		Example:           `  bottled reject k3x9abcd --note "use the mirror at mirror.example.com"`,
		Args:              command.AtLeastOne("a proposal"),
		ValidArgsFunction: f.CompleteProposals(-1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if opts.IDs = ids; opts.Note == "" {
				return exit.Usage(errors.New(`say why, for the agent: --note "…"`))
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().StringVar(&opts.Note, "note", "", "`text` that the agent gets with the answer")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	found, err := command.FindProposals(ctx, opts.Service, opts.IDs)
	if err != nil {
		return err
	}
	var failed []error
	var decided []reconciler.Proposal
	for _, p := range found {
		if err := opts.Service.Decide(ctx, p.ID, reconciler.DecisionRequest{Notes: opts.Note}); err != nil {
			failed = append(failed, err)
			continue
		}
		decided = append(decided, p)
	}
	return errors.Join(append(failed, opts.AwaitAnswers(ctx, opts.Service, decided))...)
}
