package main

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy"
	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock"
	"github.com/bot-bottle/bottled/cmd/sidecars/supervise"
)

// app is what the commands have in common.
type app struct {
	settings settings
	log      zerolog.Logger
	out      console
	errs     console
}

func newRoot(out, errs console) *cobra.Command {
	a := &app{out: out, errs: errs}
	root := &cobra.Command{
		Use:   "bottled",
		Short: "Keep AI-agent sandboxes on a Docker engine as declared in manifest files",
		Long: `bottled keeps AI-agent sandboxes on a Docker engine exactly as declared in a directory of manifest files.
One manifest is one bottle: an isolated network, its sidecars and, if declared, the agent.

Every flag can also be set in the environment (BOTTLED_ and its name in capitals, with _ for -) or in the
configuration file, in this order.

Exit codes: 0 done and converged, 1 failed, 2 differences found (plan, reconcile --dry-run),
3 bad usage or bad manifests. run and exec end with the exit code of their command.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.settings.resolve(cmd.Flags()); err != nil {
				return exitError{exitBadInput, err}
			}
			return a.logger()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exitError{exitBadInput, fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	root.SetOut(out.w)
	root.SetErr(errs.w)
	a.settings.flags(root.PersistentFlags())
	root.AddCommand(a.reconcileCommand(), a.planCommand(), a.validateCommand(), a.importCommand(), a.statusCommand(), a.syncCommand(), a.deleteCommand(),
		a.runCommand(), a.execCommand(), a.logsCommand(),
		a.schemaCommand(), a.versionCommand(), sidecarCommand())
	usageErrors(root)
	return root
}

// usageErrors makes wrong arguments, of any command, end with the code for bad usage.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return exitError{exitBadInput, fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// sidecarCommand holds the programs that run inside the built-in sidecars' containers.
func sidecarCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sidecar", Short: "Run as a sidecar inside a bottle", Hidden: true,
		// Not the root's: a sidecar has no settings of the controller's.
		PersistentPreRun: func(*cobra.Command, []string) {},
	}
	cmd.AddCommand(pipelock.Command(), credproxy.Command(), supervise.Command())
	return cmd
}

// logger writes logs to stderr: for people on a terminal, JSON otherwise.
func (a *app) logger() error {
	level, err := zerolog.ParseLevel(a.settings.LogLevel)
	if err != nil {
		return exitError{exitBadInput, fmt.Errorf("--log-level: %w", err)}
	}
	zerolog.DurationFieldUnit, zerolog.DurationFieldInteger = time.Millisecond, true
	a.log = zerolog.New(a.errs.logWriter()).Level(level).With().Timestamp().Logger()
	return nil
}
