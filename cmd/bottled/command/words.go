package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// Habits are words for what a command does in other tools.
var Habits = map[string]string{
	"get": "status", "list": "status", "inspect": "status",
	"apply": "reconcile", "up": "reconcile", "start": "reconcile", "daemon": "reconcile", "controller": "reconcile",
	"rm": "delete", "remove": "delete", "down": "delete", "destroy": "delete",
	"sh": "exec", "shell": "exec", "ssh": "exec", "enter": "exec", "session": "run",
	"lint": "validate", "info": "doctor", "settings": "config view", "convert": "import", "copy": "cp", "refresh": "sync",
}

// UnknownCommand is the error about a word that is no command.
func UnknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
	}
	if meant, is := Habits[args[0]]; is && !cmd.HasParent() {
		return fmt.Errorf("unknown command %q; did you mean %s %s?", args[0], cmd.CommandPath(), meant)
	}
	if meant := scalar.Closest(args[0], names); meant != "" {
		return fmt.Errorf("unknown command %q; did you mean %s %s?", args[0], cmd.CommandPath(), meant)
	}
	return fmt.Errorf("unknown command %q", args[0])
}
