// Package events is bottled events.
package events

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// Options of the command.
type Options struct {
	command.Streams
	Events func(ctx context.Context, o service.EventsOptions, show func(reconciler.Event) error) error
	Select service.EventsOptions
	Output command.LineOutput
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Events: f.Service.Events}
	var since command.Since
	cmd := &cobra.Command{
		Use:   "events [BOTTLE]",
		Short: "Show what happened to a bottle, or to all, and why",
		Long: `Show what happened to a bottle, or to all bottles and the controller, and why: manifests that changed, drift, steps that were
done or failed, crashes, conditions that changed. The running controller remembers the last 100 events of each bottle.

With --watch it goes on until it is interrupted, also over a restart of the controller. With -o json each event is one line.`,
		Example: `  bottled events
  bottled events dev --since 1h
  bottled events --watch -o json`,
		Args:              command.AtMostOne("bottle"),
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Select.Bottle = args[0]
			}
			opts.Select.Since = since.Time
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().BoolVarP(&opts.Select.Follow, "watch", "w", false, "go on, and show what comes")
	since.AddFlag(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error { return opts.Events(ctx, opts.Select, opts.show) }

func (o *Options) show(e reconciler.Event) error {
	if o.Output.IsJSON() {
		return command.JSONLine(o.Out, e)
	}
	bottle := ""
	switch {
	case e.Bottle == "":
		bottle = "(controller)  "
	case o.Select.Bottle == "":
		bottle = e.Bottle + "  "
	}
	line := report.Event(e, time.Now())
	line.Text = e.Time.Local().Format(time.DateTime) + "  " + bottle + line.Text
	return o.Out.Data([]byte(fmt.Sprintln(o.Out.Print(line))))
}
