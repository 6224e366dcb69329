// Package sync is bottled sync.
package sync

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Syncer is a [service.Service].
type Syncer interface {
	RequestSync(ctx context.Context, prune bool) (number int64, err error)
	AwaitSync(ctx context.Context, number int64) (reconciler.Status, error)
}

// Options of the command.
type Options struct {
	command.Streams
	Service   Syncer
	PruneHeld bool
	NoWait    bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make the running controller look at everything now",
		Long: `Make the running controller read its manifests, look at everything on the engine and put right what differs, now.
It waits until that is done, at most as long as --timeout says. It fails, with a line for each reason, unless everything that is declared
runs as declared and nothing else does: also when a bottle is kept though its manifest is gone or invalid, and when nothing is declared.`,
		Example: `  bottled sync
  bottled sync --timeout 5m
  bottled sync --prune-held`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().BoolVar(&opts.PruneHeld, "prune-held", false, "this once, also remove bottles that are kept because their removal looks like an accident")
	cmd.Flags().BoolVar(&opts.NoWait, "no-wait", false, "only ask for it")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	number, err := opts.Service.RequestSync(ctx, opts.PruneHeld)
	if err != nil {
		return err
	}
	if opts.NoWait {
		return opts.Out.Line("sync requested")
	}
	status, err := opts.Service.AwaitSync(ctx, number)
	if err != nil {
		return err
	}
	if left := report.OutOfSync(status, opts.PruneHeld); len(left) > 0 {
		return errors.New("not in sync:\n  " + strings.Join(left, "\n  "))
	}
	text := "in sync: " + report.Count(len(status.Bottles), "bottle")
	if revision := status.Controller.Revision; revision != "" {
		text += ", revision " + revision
	}
	return opts.Out.Line("%s", text)
}
