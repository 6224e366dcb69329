// Package status is bottled status.
package status

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Source reads the status: a [service.StatusSource].
type Source interface {
	Get(ctx context.Context) (reconciler.Status, error)
	Follow(ctx context.Context, show func(reconciler.Status) error, report func(error)) error
}

// Options of the command.
type Options struct {
	command.Streams
	Source  func() (Source, error)
	Log     *zerolog.Logger
	Bottles []string // all without any
	Output  command.Output
	Watch   bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Log: &f.Service.Log, Source: func() (Source, error) { return f.Service.StatusSource() }}
	cmd := &cobra.Command{
		Aliases: []string{"ps", "ls"},
		Use:     "status [BOTTLE…]",
		Short:   "Show what runs, compared with what was declared last",
		Long: `Show what runs, compared with what was declared last. Where a controller runs it is asked; otherwise the engine is.

With --watch it goes on until it is interrupted. On a terminal the table is updated in place; elsewhere it is printed
again after every change. With -o json every change is one line (NDJSON), with -o yaml one document.`,
		Example: `  bottled status
  bottled status dev review
  bottled status -o json | jq '.bottles[] | select(.ready | not)'
  bottled status --watch`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			if runF != nil {
				return runF(opts)
			}
			return run(cmd.Context(), opts)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	cmd.Flags().BoolVarP(&opts.Watch, "watch", "w", false, "go on, and show every change")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	source, err := opts.Source()
	if err != nil {
		return err
	}
	if opts.Watch {
		return watch(ctx, opts, source)
	}
	status, err := source.Get(ctx)
	if err != nil {
		return err
	}
	if status.Bottles, err = status.Select(opts.Bottles); err != nil {
		return err
	}
	if err := opts.Output.Status(opts.Out, status); err != nil || opts.Output != "table" || len(opts.Bottles) == 0 {
		return err
	}
	return printRefused(opts, status.Bottles)
}

// printRefused prints what the sidecars of bottles refused.
func printRefused(opts *Options, bottles []reconciler.BottleStatus) error {
	for _, b := range bottles {
		for _, l := range report.Refused(b, time.Now()) {
			if err := opts.Out.Data([]byte(opts.Out.Print(l) + "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
