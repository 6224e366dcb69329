// Package launch is bottled launch, which bottled runs in containers of agents and services on engines that can't give a terminal its size
// before its program runs.
package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/contract"
)

// patience is how long a program waits for the size of its terminal.
const patience = 2 * time.Second

// New makes the command.
func New() *cobra.Command {
	return &cobra.Command{
		Use: contract.LaunchCommand + " PROGRAM [ARGUMENT...]", Short: "Run a program once its terminal has a size", Hidden: true,
		DisableFlagParsing: true, // all are the program's
		Args:               cobra.MinimumNArgs(1),
		Annotations:        map[string]string{command.EndsWithCommand: ""},
		// Not the root's: the environment is an agent's.
		PersistentPreRun: func(*cobra.Command, []string) {},
		RunE: func(_ *cobra.Command, args []string) error {
			terminal.AwaitSize(os.Stdin, patience)
			return run(args)
		},
	}
}

// run becomes the program, which it looks up like execvp(3).
func run(args []string) error {
	file, err := exec.LookPath(args[0])
	if errors.Is(err, exec.ErrDot) { // an empty element of PATH, as execvp has it
		err = nil
	}
	if err == nil {
		err = syscall.Exec(file, args, os.Environ())
	}
	var lookup *exec.Error
	if errors.As(err, &lookup) { // it has the name, too
		err = lookup.Err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	err = fmt.Errorf("%s: %w", args[0], err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exit.CommandNotFound(err)
	}
	return exit.CommandNotRunnable(err)
}
