// Package attach is bottled attach.
package attach

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/logs"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state"
)

// lastLines is how much of the agent's earlier output is shown: about a screen.
const lastLines = 20

// Options of the command.
type Options struct {
	command.Streams
	Bottle string
	// Log shows the output of an agent that has neither an input nor a terminal.
	Log        logs.Options
	Has        func(ctx context.Context, bottle string) (stdin, tty bool, err error)
	Attach     func(ctx context.Context, bottle string, user service.Attachment) (code int, err error)
	Visit      func(stdin, tty bool) (user service.Attachment, release func())
	OnTerminal func() bool
	NoStdin    bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{
		Streams: f.Streams, Has: f.Service.AgentStreams, Attach: f.Service.Attach,
		Log:        logs.Options{Streams: f.Streams, Logs: f.Service.Logs, Output: "table", Select: service.LogsOptions{Follow: true, Tail: lastLines}},
		Visit:      func(stdin, tty bool) (service.Attachment, func()) { return terminal.Visit(stdin, tty) },
		OnTerminal: func() bool { return terminal.IsTerminal(os.Stdin) && f.Out.IsTerminal() },
	}
	cmd := &cobra.Command{
		Use:   "attach BOTTLE",
		Short: "Watch a bottle's agent, or work at its terminal",
		Long: `Connect to the agent that a bottle declares; it goes on when you leave.

Of an agent without stdin and tty in its manifest it shows the output, from its last lines on, until it is interrupted (Ctrl-C).
With stdin what is typed goes to the agent, and with tty both have a terminal: Ctrl-P Ctrl-Q detaches from it, and all other
keys, Ctrl-C too, are the agent's. When the agent ends the exit code is the agent's.

For a session of your own use bottled run, for a command beside the agent bottled exec.`,
		Example: `  bottled attach dev
  bottled attach dev --no-stdin`,
		Args:              command.ExactlyOne("bottle"),
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := command.ParseTarget(args[0])
			if err != nil {
				return err
			}
			if target.Component != "" && target.Component != state.Agent {
				return exit.Usage(fmt.Errorf("%s: attach is for agents; bottled logs -f %s shows this one", args[0], args[0]))
			}
			opts.Bottle = target.Bottle
			opts.Log.Select.Of = []service.Target{{Bottle: target.Bottle, Component: state.Agent}}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().BoolVar(&opts.NoStdin, "no-stdin", false, "only watch: nothing that is typed goes to the agent")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	stdin, tty, err := opts.Has(ctx, opts.Bottle)
	if errors.Is(err, service.ErrNotRunning) {
		stdin, tty, err = false, false, nil // what it printed is there all the same
	}
	if err != nil {
		return command.Concerning(opts.Bottle, err)
	}
	if !stdin && !tty {
		return logs.Run(ctx, &opts.Log)
	}
	user, release := opts.Visit(stdin && !opts.NoStdin, tty && opts.OnTerminal())
	defer release()
	code, err := opts.Attach(ctx, opts.Bottle, user)
	if errors.Is(err, terminal.ErrDetached) {
		return opts.Errs.Line("detached from bottle %s: its agent goes on", opts.Bottle)
	}
	if err != nil {
		return command.Concerning(opts.Bottle, err)
	}
	return exit.Status(code, nil)
}
