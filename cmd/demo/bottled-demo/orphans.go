package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// orphanLives is how long an orphan runs, which also tells it from other processes.
const orphanLives = "51ms"

// reapedWithin is how long the container's first process may take to reap its orphans.
const reapedWithin = 10 * time.Second

func orphansCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "orphans",
		Short: "Leave processes behind that end, one after another, and wait until somebody has reaped them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for i := range count {
				if err := leaveOrphan(cmd.Context()); err != nil {
					return fmt.Errorf("after %d orphans: %w", i, err)
				}
			}
			if err := awaitProcesses(func(_, zombies int) bool { return zombies == 0 }); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "no zombies")
			return err
		},
	}
	cmd.Flags().IntVar(&count, "count", 1, "how many")
	cmd.AddCommand(&cobra.Command{
		Use:    "parent",
		Short:  "Start a process and end before it does",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exec.CommandContext(context.WithoutCancel(cmd.Context()), "/proc/self/exe", "agent", "--task", orphanLives).Start()
		},
	})
	return cmd
}

// leaveOrphan runs a process that starts another one and ends first. It returns once both have ended.
func leaveOrphan(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "/proc/self/exe", "orphans", "parent").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return awaitProcesses(func(orphans, _ int) bool { return orphans == 0 })
}

// awaitProcesses waits until a condition of the container's running orphans and zombies holds.
func awaitProcesses(hold func(orphans, zombies int) bool) error {
	for deadline := time.Now().Add(reapedWithin); ; time.Sleep(5 * time.Millisecond) {
		orphans, zombies, err := countProcesses()
		if err != nil || hold(orphans, zombies) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d orphans and %d zombies after %s", orphans, zombies, reapedWithin)
		}
	}
}

// countProcesses counts the orphans that run, by their command line, and the zombies.
func countProcesses() (orphans, zombies int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		status, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return 0, 0, err
		}
		command, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		switch {
		case strings.Contains(string(status), "\nState:\tZ"):
			zombies++
		case err == nil && strings.Contains(string(command), "--task\x00"+orphanLives):
			orphans++
		}
	}
	return orphans, zombies, nil
}
