package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// show prints a status in the format that was asked for.
func show(ctx context.Context, opts *Options, status reconciler.Status) error {
	switch opts.Output {
	case "name":
		for _, b := range status.Bottles {
			if err := opts.Out.Line("%s", b.Slug); err != nil {
				return err
			}
		}
		return nil
	case "wide":
		usage, err := opts.Usage(ctx, status)
		if err != nil {
			return err
		}
		for _, l := range report.Wide(status, usage, time.Now()) {
			if err := opts.Out.Data([]byte(opts.Out.Print(l) + "\n")); err != nil {
				return err
			}
		}
		return nil
	}
	return opts.Output.Status(opts.Out, status)
}

// hint says, where this owner has no bottles, who has some.
func hint(ctx context.Context, opts *Options) error {
	all, err := opts.Owners(ctx)
	if err != nil {
		opts.Log.Debug().Err(err).Msg("look for other owners' bottles") // the status itself was printed
		return nil
	}
	counts, dirs := map[string]int{}, map[string]string{}
	var owners []string
	for _, b := range all {
		if b.Owner == *opts.Owner {
			continue
		}
		if counts[b.Owner]++; counts[b.Owner] == 1 {
			owners, dirs[b.Owner] = append(owners, b.Owner), b.StateDir
		}
	}
	for _, owner := range owners {
		if err := opts.Errs.Line("owner %s has %s: bottled status --owner %s --state-dir %s", owner, report.Count(counts[owner], "bottle"), owner, dirs[owner]); err != nil {
			return err
		}
	}
	return nil
}

// allOwners lists what the engine has, whoever owns it. Whether it is as declared, only its owner's settings can tell.
func allOwners(ctx context.Context, opts *Options) error {
	all, err := opts.Owners(ctx)
	if err != nil {
		return err
	}
	done, err := opts.Output.Data(opts.Out, struct {
		Bottles []service.OwnedBottle `json:"bottles"`
	}{slices.Concat([]service.OwnedBottle{}, all)})
	if done {
		return err
	}
	if len(all) == 0 {
		return opts.Out.Line("no bottles")
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "OWNER\tBOTTLE\tRUNNING\tSTATE DIRECTORY")
	for _, b := range all {
		fmt.Fprintf(t, "%s\t%s\t%d of %d\t%s\n", printable.Line(b.Owner), printable.Line(b.Bottle), b.Running, b.Containers, printable.Line(b.StateDir))
	}
	_ = t.Flush() // a strings.Builder takes everything
	return opts.Out.Data([]byte(text.String()))
}
