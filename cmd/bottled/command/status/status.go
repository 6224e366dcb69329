// Package status is bottled status.
package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// Source reads the status: a [service.StatusSource].
type Source interface {
	Get(ctx context.Context) (reconciler.Status, error)
	Follow(ctx context.Context, show func(reconciler.Status) error, report func(error)) error
}

// Options of the command.
type Options struct {
	command.Streams
	Source func() (Source, error)
	Log    *zerolog.Logger
	Usage  func(ctx context.Context, status reconciler.Status) (map[string]engine.Usage, error)
	Owners func(ctx context.Context) ([]service.OwnedBottle, error)
	Owner  *string // whose bottles the status is about
	command.Selection
	Output    command.Output
	Watch     bool
	AllOwners bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{
		Streams: f.Streams, Log: &f.Service.Log, Source: func() (Source, error) { return f.Service.StatusSource() },
		Usage: f.Service.Usage, Owners: f.Service.OwnedBottles, Owner: &f.Service.Settings.Owner,
	}
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
  bottled status --watch
  bottled status -o wide -l team=core
  bottled status --all-owners`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			if err := opts.check(); err != nil {
				return exit.Usage(err)
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.Output.AddFlag(cmd.Flags(), "wide", "name")
	opts.AddFlag(cmd.Flags())
	cmd.Flags().BoolVar(&opts.AllOwners, "all-owners", false, "list the bottles of all owners on the engine")
	cmd.Flags().BoolVarP(&opts.Watch, "watch", "w", false, "go on, and show every change")
	return cmd
}

func (o *Options) check() error {
	switch {
	case o.AllOwners && (o.Watch || o.IsSet() || o.Output == "wide" || o.Output == "name"):
		return errors.New("--all-owners lists everything once: leave out names, --selector, --watch, -o wide and -o name")
	case o.Watch && (o.Output == "wide" || o.Output == "name"):
		return fmt.Errorf("-o %s is not for --watch", o.Output)
	}
	return nil
}

func run(ctx context.Context, opts *Options) error {
	if opts.AllOwners {
		return allOwners(ctx, opts)
	}
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
	none := len(status.Bottles) == 0
	if status.Bottles, err = opts.Of(status); err != nil {
		return err
	}
	if err := show(ctx, opts, status); err != nil || opts.Output != "table" {
		return err
	}
	if none {
		return hint(ctx, opts)
	}
	if len(opts.Bottles) > 0 {
		return printMore(opts, status.Bottles)
	}
	return nil
}

// printMore prints the volumes of bottles, and what their sidecars refused.
func printMore(opts *Options, bottles []reconciler.BottleStatus) error {
	for _, b := range bottles {
		var lines []report.Line
		if volumes := report.Volumes(b); volumes != nil {
			lines = append([]report.Line{{}}, volumes...)
		}
		for _, l := range append(lines, report.Refused(b, time.Now())...) {
			if err := opts.Out.Data([]byte(opts.Out.Print(l) + "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
