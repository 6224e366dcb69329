// Package rollback is bottled rollback.
package rollback

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Service is where agents are rolled back: a [service.Service].
type Service interface {
	command.Answers
	ReviewRollback(ctx context.Context, bottle string) (reconciler.Review, error)
	Rollback(ctx context.Context, bottle string, request reconciler.RollbackRequest) (id string, err error)
}

// Options of the command.
type Options struct {
	command.Streams
	Service Service
	Confirm func(question string) error // nil: nobody is there to answer
	Bottle  string
	Note    string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	var yes bool
	cmd := &cobra.Command{
		Use:   "rollback BOTTLE",
		Short: "Build a bottle's agent as before the last approved Dockerfile",
		Long: `Put the Dockerfile back that the agent's image was built from before an approval, or a rollback, replaced it. The image is built first, and the
agent is replaced if that succeeds; its volumes and mounts stay. A second rollback undoes the first. On a terminal it shows what would change,
and asks; --yes answers. Elsewhere it does not ask.`,
		Example:           "  bottled rollback dev",
		Args:              command.ExactlyOne("bottle"),
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.Bottle = args[0]; !yes {
				opts.Confirm = f.Confirm()
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().StringVar(&opts.Note, "note", "", "`text` for the audit log")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	review, err := opts.Service.ReviewRollback(ctx, opts.Bottle)
	if err != nil {
		return err
	}
	if review.Blocked != "" {
		return fmt.Errorf("bottle %s can't be rolled back: %s", opts.Bottle, review.Blocked)
	}
	if opts.Confirm != nil {
		if err := opts.Errs.Lines(append(report.Rollback(review), report.Line{})); err != nil {
			return err
		}
		if err := opts.Confirm("Roll back the agent of bottle " + opts.Bottle + "?"); err != nil {
			return err
		}
	}
	id, err := opts.Service.Rollback(ctx, opts.Bottle, reconciler.RollbackRequest{Digest: review.Digest, Notes: opts.Note})
	if err != nil {
		return err
	}
	return opts.AwaitAnswers(ctx, opts.Service, []reconciler.Proposal{{ID: id}})
}
