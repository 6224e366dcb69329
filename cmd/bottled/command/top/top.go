// Package top is bottled top.
package top

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/screen"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

// Options of the command.
type Options struct {
	// OnTerminal reports whether there is a terminal on both sides.
	OnTerminal func() bool
	Show       func(ctx context.Context, arguments []string) error
	// Arguments are the flags that the commands get that the screen runs.
	Arguments []string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{OnTerminal: func() bool { return terminal.IsTerminal(os.Stdin) && f.Out.IsTerminal() }}
	opts.Show = func(ctx context.Context, arguments []string) error {
		return screen.Run(ctx, newBackend(f.Service, arguments), os.Stdin, f.Out.Writer())
	}
	return &cobra.Command{
		Use:   "top",
		Short: "See and steer all bottles on one screen",
		Long: `Show, on the whole terminal, what agents ask for and how all bottles are, and what one bottle is made of, does, logs and reaches.
Keys decide about proposals, suspend, resume, restart and cut off bottles, allow denied hosts and open sessions; ? lists them. It asks
before anything is lost.

Without a running controller it shows what the engine says, and changes nothing. In scripts use status --watch.`,
		Example: "  bottled top",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Arguments = settings(cmd.InheritedFlags())
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
}

func run(ctx context.Context, opts *Options) error {
	if !opts.OnTerminal() {
		return exit.Usage(errors.New("top needs a terminal for its keys and its screen; elsewhere use bottled status --watch"))
	}
	// A signal that is meant for a command on the terminal must not end the screen behind it, which handles its own.
	return opts.Show(context.WithoutCancel(ctx), opts.Arguments)
}
