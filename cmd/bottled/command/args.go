package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// NoArgs accepts no arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, and got %q", cmd.Name(), args[0])
	}
	return nil
}

// AtLeastOne accepts one or more arguments; what names them, as in "a directory or file of manifests".
func AtLeastOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name %s", what)
		}
		return nil
	}
}

// ExactlyOne accepts one argument.
func ExactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("name a %s", what)
		case 1:
			return nil
		}
		return fmt.Errorf("name one %s, not %d", what, len(args))
	}
}

// AtMostOne accepts one argument, or none.
func AtMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return ExactlyOne(what)(cmd, args)
	}
}
