// Package logs is bottled logs.
package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/printable"
)

// Options of the command.
type Options struct {
	command.Streams
	command.Selection
	Status     func(ctx context.Context) (reconciler.Status, error)
	Logs       func(ctx context.Context, o service.LogsOptions, show func(service.LogLine) error) error
	Select     service.LogsOptions
	Output     command.LineOutput
	Timestamps bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Logs: f.Service.Logs, Status: f.Service.Status}
	var since command.Since
	cmd := &cobra.Command{
		Use:   "logs [-f] {BOTTLE[/COMPONENT]… | --selector LABELS}",
		Short: "Show the logs of components",
		Long: `Show the logs of the components of bottles, or of single ones, in the order of time. With -f it goes on, also with the
containers that take the place of these, until it is interrupted.

The sidecars' decisions are put into words; characters that could steer a terminal are escaped. With -o json lines are
printed as they were logged: JSON by the sidecars, anything by an agent. On a terminal they are escaped all the same.

--previous shows what is left of earlier runs: what a container logged before its last start and, of containers that
were replaced, the sidecars' decisions in the audit log. Nothing is left of an agent that was replaced.`,
		ValidArgsFunction: f.CompleteTargets(-1),
		Args: func(_ *cobra.Command, args []string) error {
			if opts.HasSelector() == (len(args) > 0) {
				return errors.New("name a bottle, or a component as in BOTTLE/COMPONENT, or give --selector: one of the two")
			}
			return nil
		},
		Example: `  bottled logs dev
  bottled logs -f --tail 20 dev/pipelock review/agent
  bottled logs -f -l team=core`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			for _, arg := range args {
				target, err := command.ParseTarget(arg)
				if err != nil {
					return err
				}
				opts.Select.Of = append(opts.Select.Of, target)
			}
			if opts.Select.Previous && (opts.Select.Follow || opts.Select.Tail >= 0) {
				return exit.Usage(errors.New("--previous shows all that is left: it goes with --since, not with --follow or --tail"))
			}
			opts.Select.Since = since.Time
			return command.Run(cmd.Context(), opts, runF, Run)
		},
	}
	cmd.Flags().BoolVarP(&opts.Select.Follow, "follow", "f", false, "go on")
	cmd.Flags().IntVar(&opts.Select.Tail, "tail", -1, "only the last `N` lines of each component (default: all)")
	cmd.Flags().BoolVarP(&opts.Select.Previous, "previous", "p", false, "of earlier runs, as far as something is left of them")
	cmd.Flags().BoolVar(&opts.Timestamps, "timestamps", false, "print the whole time of each line (RFC 3339), also with -o json")
	since.AddFlag(cmd.Flags())
	opts.AddFlag(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

// Run shows the logs.
func Run(ctx context.Context, opts *Options) error {
	if opts.HasSelector() {
		if err := opts.choose(ctx); err != nil {
			return err
		}
	}
	return opts.Logs(ctx, opts.Select, opts.show)
}

// choose selects the bottles whose labels match.
func (o *Options) choose(ctx context.Context) error {
	status, err := o.Status(ctx)
	if err != nil {
		return err
	}
	names, err := o.Names(status)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("no bottle has labels that match --selector: bottled status -o json shows them")
	}
	for _, name := range names {
		o.Select.Of = append(o.Select.Of, service.Target{Bottle: name})
	}
	return nil
}

func (o *Options) show(line service.LogLine) error {
	if o.Output.IsJSON() {
		return o.showRaw(line)
	}
	at := line.At.Local().Format(time.TimeOnly)
	if o.Timestamps {
		at = line.At.Local().Format(time.RFC3339Nano)
	}
	name := ""
	if o.several() {
		name = o.Out.Colour(colour(line), fmt.Sprintf("%-10s", o.name(line))) + "  "
	}
	return o.Out.Data([]byte(at + "  " + name + o.Out.Print(readable(line)) + "\n"))
}

// readable puts a line into words.
func readable(line service.LogLine) report.Line {
	if line.Decision != nil {
		return report.Decision(*line.Decision)
	}
	return report.ComponentLine(kinds.All.Of(line.Component).Audited, line.Text)
}

// showRaw prints a line as it was logged.
func (o *Options) showRaw(line service.LogLine) error {
	text := line.Text
	if line.Decision != nil {
		data, err := json.Marshal(line.Decision)
		if err != nil {
			return err
		}
		text = printable.JSON(data)
	}
	text = append(bytes.TrimSuffix(slices.Clone(text), []byte("\n")), '\n')
	if o.Out.IsTerminal() {
		text = []byte(o.Out.Print(report.PlainLine(text)) + "\n")
	}
	prefix := ""
	if o.Timestamps {
		prefix = line.At.Format(time.RFC3339Nano) + " "
	}
	if o.several() {
		prefix += o.Out.Colour(colour(line), fmt.Sprintf("%-10s | ", o.name(line)))
	}
	return o.Out.Data(append([]byte(prefix), text...))
}

// several reports whether lines of more than one component may come.
func (o *Options) several() bool {
	return len(o.Select.Of) > 1 || o.Select.Of[0].Component == ""
}

// name is the component's, or where several bottles' lines are shown BOTTLE/COMPONENT.
func (o *Options) name(line service.LogLine) string {
	bottle := func(t service.Target) bool { return t.Bottle != line.Bottle }
	if slices.ContainsFunc(o.Select.Of, bottle) {
		return line.Bottle + "/" + string(line.Component)
	}
	return string(line.Component)
}

func colour(line service.LogLine) string { return kinds.All.Of(line.Component).Colour }
