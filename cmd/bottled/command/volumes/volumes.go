// Package volumes is bottled volumes.
package volumes

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/printable"
)

// Options of the command.
type Options struct {
	command.Streams
	List   func(ctx context.Context) ([]service.Volume, error)
	Output command.Output
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, List: f.Service.Volumes}
	cmd := &cobra.Command{
		Use:   "volumes",
		Short: "List the volumes of bottles, those of removed ones too, or remove some",
		Long: `List the volumes of this owner, with what is in them left alone. A volume is

  in use   while a container, running or not, mounts it
  unused   when its bottle declares it, and no container mounts it
  orphan   when no bottle declares it: it was retained, or its line is gone from the manifest`,
		Example: `  bottled volumes
  bottled volumes -o json | jq '.volumes[] | select(.state == "orphan")'
  bottled volumes rm --orphans`,
		Args: command.UnknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return command.Run(cmd.Context(), opts, runF, run) },
	}
	opts.Output.AddFlag(cmd.Flags(), "name")
	cmd.AddCommand(NewRemove(f, nil))
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	all, err := opts.List(ctx)
	if err != nil {
		return err
	}
	done, err := opts.Output.Data(opts.Out, struct {
		Volumes []service.Volume `json:"volumes"`
	}{append([]service.Volume{}, all...)})
	if done {
		return err
	}
	if opts.Output == "name" {
		for _, v := range all {
			if err := opts.Out.Line("%s", v.Name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return opts.Out.Line("no volumes")
	}
	return opts.Out.Data([]byte(table(all, time.Now())))
}

func table(all []service.Volume, now time.Time) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "BOTTLE\tVOLUME\tSTATE\tAGE\tNAME")
	for _, v := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable.Line(v.Bottle), printable.Line(v.Volume), v.State, report.Age(v.Created, now), printable.Line(v.Name))
	}
	_ = t.Flush() // a strings.Builder takes everything
	return text.String()
}
