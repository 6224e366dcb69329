// Package observe is bottled observe.
package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/printable"
)

// shown is how many hosts, and how many other reasons, are printed for people. An agent can ask for as many as it likes.
const shown = 50

// Options of the command.
type Options struct {
	command.Streams
	Observe func(ctx context.Context, bottle string, since time.Time) ([]service.Observed, error)
	Bottle  string
	Since   time.Time
	Output  command.LineOutput
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Observe: f.Service.Observe}
	var since command.Since
	cmd := &cobra.Command{
		Use:   "observe BOTTLE",
		Short: "Print an allowlist of what a bottle was refused, to be pasted into its manifest",
		Long: `Print what a bottle's agent asked for and was refused, from the audit log, as an allowlist in the form of its manifest. What its
present declaration allows is left out. Comments say how often it was asked for, and what no allowlist would allow.

Read each host before it is allowed: an agent may ask for one in order to send data there.`,
		Example: `  bottled observe dev
  bottled observe dev --since 24h`,
		Args:              command.ExactlyOne("bottle"),
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Bottle, opts.Since = args[0], since.Time
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	since.AddFlag(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	all, err := opts.Observe(ctx, opts.Bottle, opts.Since)
	if err != nil {
		return err
	}
	if opts.Output.IsJSON() {
		for _, o := range all {
			if err := command.JSONLine(opts.Out, o); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := patch(opts.Bottle, all)
	if err != nil {
		return err
	}
	return opts.Out.Data([]byte(text))
}

// patch is a manifest's allowlist, with comments.
func patch(bottle string, all []service.Observed) (string, error) {
	var hosts, others []string
	for _, o := range all {
		comment := fmt.Sprintf("%d refused, last %s", o.Count, o.Last.Local().Format(time.DateTime))
		if o.Entry == "" {
			line := "#   " + comment + ": " + printable.Line(o.Reason)
			if o.Exception != "" {
				line += "; if it is none, spec.egress.dlpExceptions can have " + printable.Line(o.Exception)
			}
			others = append(others, line+"\n")
			continue
		}
		item, err := yaml.Marshal([]string{o.Entry})
		if err != nil {
			return "", err
		}
		hosts = append(hosts, "    "+strings.TrimSuffix(string(item), "\n")+"  # "+comment+"\n")
	}
	var text strings.Builder
	if len(hosts) == 0 {
		fmt.Fprintf(&text, "# Bottle %s was refused nothing that its allowlist could allow.\n", printable.Line(bottle))
	} else {
		fmt.Fprintf(&text, "# What bottle %s was refused. Read each host before you allow it: an agent may ask for one in order to send data there.\n", printable.Line(bottle))
		text.WriteString("spec:\n  egress:\n    allowlist:\n" + first(hosts, "    # "))
	}
	if len(others) > 0 {
		text.WriteString("# What no allowlist would allow:\n" + first(others, "#   "))
	}
	return text.String(), nil
}

// first are the first lines, and how many are left out.
func first(lines []string, indent string) string {
	if n := len(lines) - shown; n > 0 {
		lines = append(lines[:shown:shown], fmt.Sprintf("%s… %d more\n", indent, n))
	}
	return strings.Join(lines, "")
}
