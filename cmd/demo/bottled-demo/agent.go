package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
)

// agentCommand is what an agent's container runs: something that lives until it is told to end.
func agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Wait for SIGTERM or SIGINT, then exit with 0",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			<-cmd.Context().Done() // ended by the signals, see main
			return nil
		},
	}
}

func envCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the environment",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := os.Environ()
			slices.Sort(env)
			for _, e := range env {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), e); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
