package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// endedByTerm is the exit code of a program that SIGTERM ends.
const endedByTerm = exitCode(128 + 15)

// agentCommand is what an agent's container runs: a program that runs until SIGTERM, or a task.
func agentCommand() *cobra.Command {
	var takes time.Duration
	var code int
	var deaf bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Wait for SIGTERM or SIGINT and exit with 143 or, as a task, for some time and exit with a code",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var done <-chan time.Time
			if cmd.Flags().Changed("task") {
				done = time.After(takes)
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), "the agent is at work"); err != nil {
				return err
			}
			signalled := cmd.Context().Done() // see main
			if deaf {
				signalled = nil
			}
			select {
			case <-done:
				return exitCode(code)
			case <-signalled:
				return endedByTerm
			}
		},
	}
	cmd.Flags().DurationVar(&takes, "task", 0, "how long the task takes")
	cmd.Flags().BoolVar(&deaf, "deaf", false, "ignore SIGTERM and SIGINT")
	cmd.Flags().IntVar(&code, "code", 0, "exit code of the task")
	return cmd
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
