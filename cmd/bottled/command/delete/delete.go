// Package delete is bottled delete.
package delete

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

// Options of the command.
type Options struct {
	command.Streams
	Delete  func(ctx context.Context, bottles []string, progress func(execute.Progress)) ([]service.Deletion, error)
	Status  func(ctx context.Context) (reconciler.Status, error)
	Log     *zerolog.Logger
	Confirm func(question string) error // nil: nobody is there to answer
	command.Selection
	All bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{
		Streams: f.Streams, Delete: f.Service.Delete, Log: &f.Service.Log,
		Status: f.Service.Status,
	}
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete BOTTLE… | --selector LABELS | --all",
		Short: "Remove bottles: containers, networks, configuration, tokens",
		Long: `Remove bottles: containers, networks, configuration, tokens. Proposals, the audit log and volumes without
retain: false are kept. A bottle whose manifest is still there comes back with the next reconcile.

With --all and --selector it asks first, if somebody is there to answer: stdin and stderr are a terminal. --yes answers.`,
		Example: `  bottled delete dev
  bottled delete dev review
  bottled delete --selector team=core
  bottled delete --all --yes`,
		ValidArgsFunction: f.CompleteBottles(-1),
		Args: func(_ *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			if opts.All == opts.IsSet() || len(bottles) > 0 && opts.HasSelector() {
				return errors.New("name bottles, or give --selector or --all: one of the three")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				opts.Confirm = f.Confirm()
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.AddFlag(cmd.Flags())
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&opts.All, "all", false, "every bottle of this owner")
	return cmd
}

// choose are the bottles to remove, where they were not named. The user confirms them.
func choose(ctx context.Context, opts *Options) ([]string, error) {
	all, err := opts.Status(ctx)
	if err != nil {
		return nil, err
	}
	names, err := opts.Names(all)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if opts.Confirm != nil {
		err = opts.Confirm(fmt.Sprintf("Remove %s: %s?", report.Count(len(names), "bottle"), strings.Join(names, ", ")))
	}
	return names, err
}

func run(ctx context.Context, opts *Options) error {
	if opts.HasSelector() || opts.All && opts.Confirm != nil {
		names, err := choose(ctx, opts)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return opts.Out.Line("no bottles")
		}
		opts.Bottles = names
	}
	progress, end := opts.Progress(opts.Log)
	deleted, err := opts.Delete(ctx, opts.Bottles, progress)
	end()
	var failed []error
	for _, d := range deleted {
		if d.Err != nil {
			failed = append(failed, fmt.Errorf("bottle %s: %w", d.Bottle, d.Err))
			continue
		}
		if err := opts.Out.Line("bottle %s removed", d.Bottle); err != nil {
			failed = append(failed, err)
		}
	}
	if err == nil && len(deleted) == 0 {
		return opts.Out.Line("no bottles")
	}
	return errors.Join(append(failed, err)...)
}
