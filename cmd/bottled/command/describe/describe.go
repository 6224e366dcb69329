// Package describe is bottled describe.
package describe

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

// Options of the command.
type Options struct {
	command.Streams
	Describe func(ctx context.Context, bottle string) (service.Description, error)
	Bottle   string
	Output   command.Output
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Describe: f.Service.Describe}
	cmd := &cobra.Command{
		Use:   "describe BOTTLE",
		Short: "Show all that is known of a bottle",
		Long: `Show all that is known of a bottle: its status and conditions, what it was declared with last, networks, limits, the proposals
that wait for an answer, what its agent was refused most often, and the last events.`,
		Example: `  bottled describe dev
  bottled describe dev -o yaml`,
		Args:              command.ExactlyOne("bottle"),
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Bottle = args[0]
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	d, err := opts.Describe(ctx, opts.Bottle)
	if err != nil {
		return err
	}
	if done, err := opts.Output.Data(opts.Out, d); done {
		return err
	}
	for _, l := range lines(d, time.Now()) {
		if err := opts.Out.Data([]byte(opts.Out.Print(l) + "\n")); err != nil {
			return err
		}
	}
	return nil
}
