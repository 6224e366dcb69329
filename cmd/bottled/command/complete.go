package command

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/printable"
)

// completionTimeout is how long a shell waits for the names of bottles.
const completionTimeout = time.Second

// CompleteBottles completes the names of bottles that are not on the command line yet, as many as the command takes; most < 0 is any number.
func (f *Factory) CompleteBottles(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range f.bottles(cmd) {
			if !slices.Contains(args, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteTargets completes BOTTLE or BOTTLE/COMPONENT, as many as the command takes; most < 0 is any number.
func (f *Factory) CompleteTargets(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.targets(cmd, ""), cobra.ShellCompDirectiveNoFileComp
	}
}

// targets are the bottles and their components, each followed by after.
func (f *Factory) targets(cmd *cobra.Command, after string) []string {
	var targets []string
	for name, components := range f.bottles(cmd) {
		targets = append(targets, name+after)
		for _, component := range components {
			targets = append(targets, name+"/"+string(component)+after)
		}
	}
	slices.Sort(targets)
	return targets
}

// CompleteCopies completes BOTTLE: and BOTTLE/COMPONENT:, or a local path.
func (f *Factory) CompleteCopies(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.targets(cmd, ":"), cobra.ShellCompDirectiveNoSpace
}

// CompleteVolumes completes the names of volumes that can be removed and are not on the command line yet.
func (f *Factory) CompleteVolumes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	if err := f.Service.Settings.Resolve(cmd.Flags()); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // the command itself will report it
	}
	all, err := f.Service.Volumes(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // a shell has no place for an error
	}
	var names []string
	for _, v := range all {
		if v.State != reconciler.VolumeInUse && !slices.Contains(args, v.Name) {
			names = append(names, v.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteProposals completes the IDs of proposals that wait and are not on the command line yet, as many as the command takes; most < 0
// is any number.
func (f *Factory) CompleteProposals(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		if most >= 0 && len(args) >= most || f.Service.Settings.Resolve(cmd.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := f.Service.Proposals(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // a shell has no place for an error
		}
		var ids []string
		short := report.ShortIDs(all.Proposals)
		for _, p := range all.Proposals {
			if p.State == reconciler.ProposalWaiting && !slices.Contains(args, short[p.ID]) {
				ids = append(ids, cobra.CompletionWithDesc(short[p.ID], printable.Line(p.Bottle+": "+report.Short(report.Flat(p.Summary)))))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// bottles are the bottles of the owner that the command line selects, and their components; none where nobody can tell soon.
func (f *Factory) bottles(cmd *cobra.Command) map[string][]state.ComponentName {
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	if err := f.Service.Settings.Resolve(cmd.Flags()); err != nil {
		return nil // the command itself will report it
	}
	names, err := f.Service.BottleNames(ctx)
	if err != nil {
		return nil // a shell has no place for an error
	}
	return names
}

// CompleteFlags completes the words that a command's flags and those of all commands below it take.
func CompleteFlags(cmd *cobra.Command) error {
	var failed error
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		c, is := flag.Value.(choice)
		_, exists := cmd.GetFlagCompletionFunc(flag.Name)
		if !is || exists || failed != nil {
			return
		}
		failed = cmd.RegisterFlagCompletionFunc(flag.Name, cobra.FixedCompletions(c.words, cobra.ShellCompDirectiveNoFileComp))
	})
	for _, sub := range cmd.Commands() {
		if failed == nil {
			failed = CompleteFlags(sub)
		}
	}
	return failed
}
