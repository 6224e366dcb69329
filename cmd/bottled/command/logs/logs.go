// Package logs is bottled logs.
package logs

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/printable"
)

// Options of the command.
type Options struct {
	command.Streams
	Logs   func(ctx context.Context, o service.LogsOptions, show func(state.ComponentName, engine.LogLine) error) error
	Select service.LogsOptions
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Logs: f.Service.Logs}
	var since string
	cmd := &cobra.Command{
		Use:   "logs [-f] [--tail N] [--since D] BOTTLE[/COMPONENT]",
		Short: "Show the logs of a bottle's components, or of one of them",
		Long: `Show the logs of a bottle's components, or of one of them, in the order of time; of several, each line with the
component's name. With -f it goes on, also with the containers that take the place of these, until it is interrupted.

On a terminal, characters that could steer it are replaced. Elsewhere what was logged is passed on unchanged.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if opts.Select.Target, err = command.ParseTarget(args[0]); err != nil {
				return err
			}
			if opts.Select.Since, err = parseSince(since, time.Now()); err != nil {
				return exit.Usage(err)
			}
			if runF != nil {
				return runF(opts)
			}
			return run(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.Select.Follow, "follow", "f", false, "go on")
	cmd.Flags().IntVar(&opts.Select.Tail, "tail", -1, "only the last `N` lines of each component (default: all)")
	cmd.Flags().StringVar(&since, "since", "", "only what was logged within a `duration` (10m), or since a time (RFC 3339)")
	return cmd
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d.Abs()), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--since %q: give a duration like 10m, or a time like %s", text, now.Format(time.RFC3339))
	}
	return at, nil
}

func run(ctx context.Context, opts *Options) error {
	return opts.Logs(ctx, opts.Select, printer(opts.Out, opts.Select.Component == ""))
}

// printer prints lines, with the component's name in front when named is set.
func printer(c terminal.Console, named bool) func(state.ComponentName, engine.LogLine) error {
	return func(component state.ComponentName, line engine.LogLine) error {
		text := line.Text
		if c.IsTerminal() {
			text = []byte(printable.Line(strings.ReplaceAll(string(bytes.TrimRight(text, "\r\n")), "\t", "    ")) + "\n")
		}
		if named {
			prefix := c.Colour(kinds.All.Of(component).Colour, fmt.Sprintf("%-10s | ", component))
			text = append([]byte(prefix), append(bytes.TrimSuffix(text, []byte("\n")), '\n')...)
		}
		return c.Data(text)
	}
}
