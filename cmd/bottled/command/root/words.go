package root

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

func namesOf(f *pflag.FlagSet) []string {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

// flagNames are the flags of a command and of all below it.
func flagNames(cmd *cobra.Command) []string {
	names := append(namesOf(cmd.Flags()), namesOf(cmd.PersistentFlags())...)
	for _, sub := range cmd.Commands() {
		names = append(names, flagNames(sub)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// completeFlags has shells complete the values of flags that take one of a few words.
func completeFlags(root *cobra.Command) {
	levels := cobra.FixedCompletions(service.LogLevels, cobra.ShellCompDirectiveNoFileComp)
	for _, err := range []error{root.RegisterFlagCompletionFunc("log-level", levels), command.CompleteFlags(root)} {
		if err != nil {
			panic(err) // a flag that is declared above does not exist
		}
	}
}
