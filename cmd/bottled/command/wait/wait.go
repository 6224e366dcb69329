// Package wait is bottled wait.
package wait

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// Options of the command.
type Options struct {
	command.Streams
	Await   func(ctx context.Context, bottles []string, what service.Awaited) ([]reconciler.BottleStatus, error)
	Bottles []string
	For     string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Await: f.Service.Await}
	cmd := &cobra.Command{
		Use:   "wait BOTTLE…",
		Short: "Wait until bottles are ready, or until their agents have ended",
		Long: `Wait until all of the bottles are ready or, with --for completed, until their agents have ended for good; at most as long
as --timeout says. Where a controller runs it is asked; otherwise the engine is.

With --for completed, the exit code is that of the first agent, in the order of the arguments, that failed.`,
		Example: `  bottled wait dev --timeout 1m
  bottled wait --for completed nightly`,
		ValidArgsFunction: f.CompleteBottles(-1),
		Args:              command.AtLeastOne("a bottle"),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.For = string(service.AwaitReady)
	cmd.Flags().Var(command.Choice(&opts.For, opts.For, string(service.AwaitCompleted)), "for", "what to wait for: ready or completed")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	reached, err := opts.Await(ctx, opts.Bottles, service.Awaited(opts.For))
	if err != nil {
		return err
	}
	for _, b := range reached {
		text := b.Slug + " is ready"
		if agent := b.Agent(); opts.For == string(service.AwaitCompleted) {
			text = fmt.Sprintf("%s: %s with exit code %d", b.Slug, agent.Phase, agent.Ended.ExitCode)
		}
		if err := opts.Out.Line("%s", text); err != nil {
			return err
		}
	}
	if opts.For == string(service.AwaitReady) {
		return nil
	}
	return command.AgentsVerdict(reached)
}
