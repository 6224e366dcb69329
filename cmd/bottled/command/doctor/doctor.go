// Package doctor is bottled doctor.
package doctor

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service/doctor"
)

// Options of the command.
type Options struct {
	command.Streams
	Doctor func(ctx context.Context) ([]doctor.Check, error)
	Output command.Output
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Doctor: f.Service.Doctor}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the engine and this host, and print how to correct what is wrong",
		Long: `Check what bottles need of the engine and of this host, and print how to correct what is wrong. Nothing is changed.
As root it can check more. The exit code is 1 when a check failed; a warning is about a guarantee that is weaker than it could be.`,
		Example: `  bottled doctor
  bottled doctor -o json`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	checks, err := opts.Doctor(ctx)
	if err != nil {
		return err
	}
	bad := 0
	for _, c := range checks {
		if c.Status == doctor.Failed {
			bad++
		}
	}
	done, err := opts.Output.Data(opts.Out, struct {
		Checks []doctor.Check `json:"checks"`
	}{checks})
	if !done {
		err = printTable(opts, checks)
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%s failed", report.Count(bad, "check"))
	}
	return err
}

func printTable(opts *Options, checks []doctor.Check) error {
	for _, c := range checks {
		sign := map[doctor.Status]string{doctor.Failed: "!", doctor.Warning: "~"}[c.Status]
		text := opts.Out.Paint(sign, fmt.Sprintf("%-8s %-16s %s", c.Status, c.Name, report.Flat(c.Result)))
		if c.Fix != "" {
			text += "\n" + opts.Out.Paint("", fmt.Sprintf("%25s fix: %s", "", report.Flat(c.Fix)))
		}
		if err := opts.Out.Data([]byte(text + "\n")); err != nil {
			return err
		}
	}
	return nil
}
