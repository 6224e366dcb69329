package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
)

// ParseTarget parses BOTTLE or BOTTLE/COMPONENT.
func ParseTarget(text string) (service.Target, error) {
	bottle, component, named := strings.Cut(text, "/")
	if meant := scalar.Closest(component, componentNames()); bottle != "" && named && meant != "" && meant != component {
		return service.Target{}, exit.Usage(fmt.Errorf("there is no component %q; did you mean %s/%s?", component, bottle, meant))
	}
	if bottle == "" || named && !kinds.All.Has(state.ComponentName(component)) {
		return service.Target{}, exit.Usage(fmt.Errorf("%q: name a bottle, or a component as in BOTTLE/COMPONENT (%s)", text, strings.Join(kinds.All.Forms(), ", ")))
	}
	return service.Target{Bottle: bottle, Component: state.ComponentName(component)}, nil
}

func componentNames() []string {
	var names []string
	for _, name := range kinds.All.Names() {
		names = append(names, string(name))
	}
	return names
}

// Concerning adds to an error what it is about, unless that is what the error says.
func Concerning(what string, err error) error {
	if errors.Is(err, reconciler.ErrNoBottle) {
		return err
	}
	return fmt.Errorf("bottle %s: %w", what, err)
}

// RunsCommand completes cmd, which runs the command behind -- in a container: its arguments, -t, and the exit code, which is the
// command's. tty says whether the command gets a terminal; without -t it does when there is one on both sides.
func RunsCommand(cmd *cobra.Command, required bool) (tty func() bool) {
	cmd.Args, cmd.Annotations = afterDash(required), map[string]string{EndsWithCommand: ""}
	cmd.Long += `

The exit code is the command's; 125 is for what bottled itself failed at, 126 for a command that can't be run, 127 for one
that is not there.`
	given := cmd.Flags().BoolP("tty", "t", false, "give the command a terminal (default: when stdin and stdout are one)")
	return func() bool {
		if cmd.Flags().Changed("tty") {
			return *given
		}
		return terminal.IsTerminal(os.Stdin) && terminal.IsTerminal(os.Stdout)
	}
}

// afterDash accepts one bottle or component and, behind --, a command.
func afterDash(required bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		switch {
		case dash < 0 && len(args) > 1:
			return fmt.Errorf("put the command behind --: %s %s -- %s", cmd.CommandPath(), args[0], strings.Join(args[1:], " "))
		case dash < 0:
			dash = len(args)
		}
		switch {
		case dash == 0:
			return errors.New("name a bottle")
		case dash != 1:
			return fmt.Errorf("name one bottle, not %d", dash)
		case required && len(args) == 1:
			return fmt.Errorf("give a command, behind --: %s %s -- COMMAND", cmd.CommandPath(), args[0])
		}
		return nil
	}
}
