// Package traffic is bottled traffic.
package traffic

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/audit"
)

// Options of the command.
type Options struct {
	command.Streams
	Traffic func(ctx context.Context, o service.TrafficOptions, show func(audit.Record) error) error
	Select  service.TrafficOptions
	Output  command.LineOutput
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Traffic: f.Service.Traffic}
	var since command.Since
	cmd := &cobra.Command{
		Use:   "traffic [--denied] [BOTTLE…]",
		Short: "Show what bottles' requests were allowed and refused",
		Long: `Show what pipelock and cred-proxy allowed and refused, from the audit logs of bottles or of all: also of containers and
bottles that are gone. It needs no engine. What the log is missing is shown as a GAP.

With --watch it goes on until it is interrupted. With -o json each record is one line, as in the audit log.`,
		Example: `  bottled traffic
  bottled traffic --denied --since 1h dev
  bottled traffic --watch`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Select.Bottles, opts.Select.Since = bottles, since.Time
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().BoolVar(&opts.Select.Denied, "denied", false, "only what was refused, and gaps")
	cmd.Flags().BoolVarP(&opts.Select.Follow, "watch", "w", false, "go on, and show what comes")
	since.AddFlag(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error { return opts.Traffic(ctx, opts.Select, opts.show) }

func (o *Options) show(r audit.Record) error {
	if o.Output.IsJSON() {
		return command.JSONLine(o.Out, r)
	}
	name := r.Component
	if len(o.Select.Bottles) != 1 {
		name = r.Bottle + "/" + r.Component
	}
	line := report.Decision(r)
	line.Text = fmt.Sprintf("%s  %-10s  %s", r.At().Local().Format(time.DateTime), name, line.Text)
	return o.Out.Data([]byte(o.Out.Print(line) + "\n"))
}
