// Package config is bottled config.
package config

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/printable"
)

// New makes the command. controller are the flags of the controller, which the configuration file may hold, too.
func New(f *command.Factory, controller *pflag.FlagSet) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the settings", Args: command.UnknownCommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(view(f, controller))
	return cmd
}

func view(f *command.Factory, controller *pflag.FlagSet) *cobra.Command {
	var output command.Output
	cmd := &cobra.Command{
		Use:   "view",
		Short: "Print each setting with its value, and where the value comes from",
		Long: `Print each setting with its value, and where the value comes from: a flag, an environment variable, the configuration
file, or its default. The settings of reconcile are among them, and can be given as flags here, too.`,
		Example: `  bottled config view
  bottled config view -o json
  BOTTLED_OWNER=ci bottled config view --prune none`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := f.Service.Settings.View(cmd.Flags())
			if err != nil {
				return err
			}
			done, err := output.Data(f.Out, struct {
				Settings []service.Setting `json:"settings"`
			}{settings})
			if done {
				return err
			}
			return printTable(f.Streams, settings)
		},
	}
	output.AddFlag(cmd.Flags())
	controller.VisitAll(func(flag *pflag.Flag) {
		if service.IsCommandSetting(flag.Name) && cmd.Flags().Lookup(flag.Name) == nil {
			copied := *flag
			copied.Hidden = true // they are of reconcile, whose help has them
			cmd.Flags().AddFlag(&copied)
		}
	})
	return cmd
}

func printTable(s command.Streams, settings []service.Setting) error {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
	for _, setting := range settings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", setting.Name, printable.Line(setting.Value), printable.Line(setting.Origin))
	}
	_ = t.Flush() // a strings.Builder takes everything
	return s.Out.Data([]byte(text.String()))
}
