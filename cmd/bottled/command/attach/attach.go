// Package attach is bottled attach.
package attach

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/logs"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state"
)

// lastLines is how much of the agent's earlier output is shown: about a screen.
const lastLines = 20

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*logs.Options) error) *cobra.Command {
	opts := &logs.Options{Streams: f.Streams, Logs: f.Service.Logs, Output: "table", Select: service.LogsOptions{Follow: true, Tail: lastLines}}
	return &cobra.Command{
		Use:   "attach BOTTLE",
		Short: "Watch a bottle's agent",
		Long: `Show the output of the agent that a bottle declares, from its last lines on, until it is interrupted (Ctrl-C); the agent goes on. It has
no terminal and no input: for a session with one use bottled run, for a command beside the agent bottled exec.`,
		Example:           "  bottled attach dev",
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
			opts.Select.Of = []service.Target{{Bottle: target.Bottle, Component: state.Agent}}
			return command.Run(cmd.Context(), opts, runF, logs.Run)
		},
	}
}
