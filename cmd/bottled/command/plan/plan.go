// Package plan is bottled plan.
package plan

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/reconciler/pass"
)

// Options of the command.
type Options struct {
	command.Streams
	Service command.Planner
	Dirs    []string
	Pass    pass.Options
	Output  command.Output
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	var flags command.PassFlags
	cmd := &cobra.Command{
		Aliases: []string{"diff"},
		Use:     "plan DIR…",
		Short:   "Print what reconcile would do; exit with 2 when there is anything",
		Example: `  bottled plan bottles
  bottled plan bottles --prune none -o json
  kustomize build . | bottled plan -f -`,
		Args: command.ManifestArgs(&flags.Files),
		RunE: func(cmd *cobra.Command, dirs []string) (err error) {
			if opts.Dirs, opts.Pass, err = flags.Options(dirs); err != nil {
				return err
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	flags.AddFlags(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	return opts.Plan(ctx, opts.Service, opts.Dirs, opts.Pass, opts.Output)
}
