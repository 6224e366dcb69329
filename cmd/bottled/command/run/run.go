// Package run is bottled run.
package run

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

// Options of the command.
type Options struct {
	command.Streams
	Session func(ctx context.Context, bottle string, command []string, attach func() (service.Attachment, func())) (code int, err error)
	Bottle  string
	Command []string // empty: the agent's
	TTY     bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Session: f.Service.Session}
	cmd := &cobra.Command{
		Use:   "run [-t] BOTTLE [-- COMMAND…]",
		Short: "Run the agent of a bottle, or another command, for one session",
		Long: `Run the agent of a bottle for one interactive session, in a container of its own: made as spec.agent declares it, image,
environment, mounts and limits, on the bottle's internal network only, and removed when the session ends. COMMAND takes
the place of spec.agent.command. The declared agent, when it runs, goes on beside it.

It waits, at most as long as --timeout says, until the bottle's sidecars are ready. With a terminal on both sides the
command gets one, too; otherwise stdin is passed on. SIGINT, SIGTERM and SIGHUP are passed on; three of them, or 10 s after
SIGTERM or SIGHUP, end the session.`,
		Example: `  bottled run dev
  bottled run dev -- bash
  echo 'print(1)' | bottled run dev -- python3`,
		ValidArgsFunction: f.CompleteBottles(1),
	}
	tty := command.RunsCommand(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opts.Bottle, opts.Command, opts.TTY = args[0], args[1:], tty()
		return command.Run(cmd.Context(), opts, runF, run)
	}
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	code, err := opts.Session(ctx, opts.Bottle, opts.Command, func() (service.Attachment, func()) {
		if opts.TTY && len(opts.Command) == 0 && opts.Errs.IsTerminal() {
			// What can't be said is no reason not to begin.
			_ = opts.Errs.Line("A session in bottle %s has begun, with its agent's command. It ends with that command.", opts.Bottle)
		}
		return terminal.Attach(true, opts.TTY)
	})
	if err != nil {
		return command.Concerning(opts.Bottle, err)
	}
	return exit.Status(code, nil)
}
