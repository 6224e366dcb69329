// Package exec is bottled exec.
package exec

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state"
)

// Options of the command.
type Options struct {
	Exec    func(ctx context.Context, to service.Target, command []string, user service.Attachment) (code int, err error)
	Target  service.Target
	Command []string
	Stdin   bool
	TTY     bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Exec: f.Service.Exec}
	cmd := &cobra.Command{
		Use:   "exec [-it] BOTTLE[/COMPONENT] -- COMMAND…",
		Short: "Run a command in a component of a bottle, by default its agent",
		Long: `Run a command in the running container of a component: pipelock, cred-proxy, supervise or agent, which is the default.
The sidecars' images hold nothing but /bottled.

With a terminal on both sides the command gets one, too, and what is typed goes to it. Otherwise stdin goes to it with -i.
SIGINT, SIGTERM and SIGHUP are passed on.`,
		Example: `  bottled exec dev -- ps aux
  bottled exec -it dev -- bash
  bottled exec dev/pipelock -- /bottled sidecar pipelock healthcheck`,
		ValidArgsFunction: f.CompleteTargets(1),
	}
	cmd.Flags().BoolVarP(&opts.Stdin, "interactive", "i", false, "pass stdin to the command (default: with a terminal)")
	tty := command.RunsCommand(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if opts.Target, err = command.ParseTarget(args[0]); err != nil {
			return err
		}
		opts.Target.Component = cmp.Or(opts.Target.Component, state.Agent)
		opts.Command, opts.TTY = args[1:], tty()
		opts.Stdin = opts.Stdin || opts.TTY
		return command.Run(cmd.Context(), opts, runF, run)
	}
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	user, release := terminal.Attach(opts.Stdin, opts.TTY)
	defer release()
	code, err := opts.Exec(ctx, opts.Target, opts.Command, user)
	if err != nil {
		return command.Concerning(fmt.Sprintf("%s: %s", opts.Target.Bottle, opts.Target.Component), err)
	}
	return exit.Status(code, hint(opts.Target, code))
}

// hint explains why a command does not start in a sidecar.
func hint(to service.Target, code int) error {
	if to.Component == state.Agent || code != exit.CannotInvoke && code != exit.NotFound {
		return nil
	}
	return fmt.Errorf("the built-in image of %s holds no other program than /bottled: try /bottled sidecar %s healthcheck", to.Component, to.Component)
}
