// Package delete is bottled delete.
package delete

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

// Options of the command.
type Options struct {
	command.Streams
	Delete  func(ctx context.Context, bottles []string, progress func(execute.Progress)) ([]service.Deletion, error)
	Log     *zerolog.Logger
	Bottles []string
	All     bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Delete: f.Service.Delete, Log: &f.Service.Log}
	cmd := &cobra.Command{
		Use:   "delete BOTTLE… | --all",
		Short: "Remove bottles: containers, networks, configuration, tokens",
		Long: `Remove bottles: containers, networks, configuration, tokens. Proposals and the audit log are kept.
A bottle whose manifest is still there comes back with the next reconcile.`,
		Example: `  bottled delete dev
  bottled delete dev review
  bottled delete --all`,
		ValidArgsFunction: f.CompleteBottles(-1),
		Args: func(_ *cobra.Command, bottles []string) error {
			if opts.All == (len(bottles) > 0) {
				return errors.New("name bottles, or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			if runF != nil {
				return runF(opts)
			}
			return run(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.All, "all", false, "every bottle of this owner")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
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
