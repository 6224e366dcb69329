// Package root assembles the bottled command.
package root

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/allow"
	"github.com/bot-bottle/bottled/cmd/bottled/command/approve"
	"github.com/bot-bottle/bottled/cmd/bottled/command/attach"
	"github.com/bot-bottle/bottled/cmd/bottled/command/audit"
	"github.com/bot-bottle/bottled/cmd/bottled/command/check"
	"github.com/bot-bottle/bottled/cmd/bottled/command/config"
	"github.com/bot-bottle/bottled/cmd/bottled/command/cp"
	"github.com/bot-bottle/bottled/cmd/bottled/command/cut"
	"github.com/bot-bottle/bottled/cmd/bottled/command/delete"
	"github.com/bot-bottle/bottled/cmd/bottled/command/describe"
	"github.com/bot-bottle/bottled/cmd/bottled/command/doctor"
	"github.com/bot-bottle/bottled/cmd/bottled/command/events"
	"github.com/bot-bottle/bottled/cmd/bottled/command/exec"
	"github.com/bot-bottle/bottled/cmd/bottled/command/imports"
	"github.com/bot-bottle/bottled/cmd/bottled/command/initialize"
	"github.com/bot-bottle/bottled/cmd/bottled/command/launch"
	"github.com/bot-bottle/bottled/cmd/bottled/command/logs"
	"github.com/bot-bottle/bottled/cmd/bottled/command/observe"
	"github.com/bot-bottle/bottled/cmd/bottled/command/plan"
	"github.com/bot-bottle/bottled/cmd/bottled/command/portforward"
	"github.com/bot-bottle/bottled/cmd/bottled/command/proposals"
	"github.com/bot-bottle/bottled/cmd/bottled/command/reconcile"
	"github.com/bot-bottle/bottled/cmd/bottled/command/reject"
	"github.com/bot-bottle/bottled/cmd/bottled/command/restart"
	"github.com/bot-bottle/bottled/cmd/bottled/command/resume"
	"github.com/bot-bottle/bottled/cmd/bottled/command/rollback"
	"github.com/bot-bottle/bottled/cmd/bottled/command/run"
	"github.com/bot-bottle/bottled/cmd/bottled/command/status"
	"github.com/bot-bottle/bottled/cmd/bottled/command/suspend"
	"github.com/bot-bottle/bottled/cmd/bottled/command/sync"
	"github.com/bot-bottle/bottled/cmd/bottled/command/top"
	"github.com/bot-bottle/bottled/cmd/bottled/command/traffic"
	"github.com/bot-bottle/bottled/cmd/bottled/command/validate"
	"github.com/bot-bottle/bottled/cmd/bottled/command/volumes"
	"github.com/bot-bottle/bottled/cmd/bottled/command/wait"
	"github.com/bot-bottle/bottled/cmd/bottled/command/web"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy"
	"github.com/bot-bottle/bottled/cmd/sidecars/ingress"
	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock"
	"github.com/bot-bottle/bottled/cmd/sidecars/supervise"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// New makes the command and all below it.
func New(f *command.Factory) *cobra.Command {
	root := &cobra.Command{
		Use:   "bottled",
		Short: "Keep AI-agent sandboxes on a Docker engine as declared in manifest files",
		Long: `bottled keeps AI-agent sandboxes on a Docker engine exactly as declared in a directory of manifest files.
One manifest is one bottle: an isolated network, its sidecars and, if declared, the agent.

Every flag can also be set in the environment (BOTTLED_ and its name in capitals, with _ for -) or in the
configuration file, in this order.

Exit codes: 0 done and converged, 1 failed, 2 differences found (plan, reconcile --dry-run)
or a request refused (check), 3 bad usage or bad manifests. run and exec end with the exit code of their command,
wait --for completed and reconcile --once --wait-completed with that of an agent that failed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          command.UnknownCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
				return nil // the settings are on the line to complete
			}
			if err := f.Service.Settings.Resolve(cmd.Flags()); err != nil {
				return exit.Usage(err)
			}
			return openLog(f)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(usage)
	root.SetOut(f.Out.Writer())
	root.SetErr(f.Errs.Writer())
	f.Service.Settings.Flags(root.PersistentFlags())
	controller := reconcile.New(f, nil)
	root.AddCommand(
		controller, plan.New(f, nil), validate.New(f, nil), initialize.New(f, nil), imports.New(f, nil), status.New(f, nil), top.New(f, nil), sync.New(f, nil), delete.New(f, nil),
		run.New(f, nil), exec.New(f, nil), logs.New(f, nil), attach.New(f, nil), portforward.New(f, nil), cp.New(f, nil), describe.New(f, nil), events.New(f, nil), traffic.New(f, nil), audit.New(f, nil), check.New(f, nil), observe.New(f, nil),
		restart.New(f, nil), suspend.New(f, nil), resume.New(f, nil), cut.New(f, nil), wait.New(f, nil), volumes.New(f, nil),
		proposals.New(f, nil), approve.New(f, nil), reject.New(f, nil), allow.New(f, nil), rollback.New(f, nil), web.New(f, nil),
		doctor.New(f, nil), config.New(f, controller.Flags()), schema(f), version(f), launch.New(), sidecars(),
	)
	usageErrors(root)
	f.Service.Settings.FlagNames = flagNames(root)
	completeFlags(root)
	return root
}

// usage marks an error in flags or arguments, and says where to read about them.
func usage(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if meant := scalar.Closest(unknown.GetSpecifiedName(), namesOf(cmd.Flags())); meant != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, meant)
		}
	}
	err = service.ExplainValue(err)
	return exit.Usage(fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath()))
}

// UnknownCommand is the error about a command line that begins with a word that is no command.
func UnknownCommand(root *cobra.Command, args []string) error {
	return usage(root, command.UnknownCommand(root, args))
}

// usageErrors marks wrong arguments of a command and all below it as usage errors.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(c, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// sidecars holds the programs that run in the built-in sidecars' containers.
func sidecars() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sidecar", Short: "Run as a sidecar inside a bottle", Hidden: true,
		// Not the root's: a sidecar has no settings of the controller's.
		PersistentPreRun: func(*cobra.Command, []string) {},
	}
	cmd.AddCommand(pipelock.Command(), credproxy.Command(), supervise.Command(), ingress.Command())
	return cmd
}

// openLog has the service log to stderr: for people on a terminal, JSON otherwise.
func openLog(f *command.Factory) error {
	level, err := zerolog.ParseLevel(f.Service.Settings.LogLevel)
	if err != nil {
		return exit.Usage(fmt.Errorf("--log-level: %w", err))
	}
	zerolog.DurationFieldUnit, zerolog.DurationFieldInteger = time.Millisecond, true
	f.Service.Log = zerolog.New(f.Errs.LogWriter()).Level(level).With().Timestamp().Logger()
	return nil
}
