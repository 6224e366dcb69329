package audit

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/state/audit"
)

// ArchiveOptions are those of the command that archives.
type ArchiveOptions struct {
	command.Streams
	Archive func(bottles []string, show func(audit.Archived) error) error
	Bottles []string // all, and the log of heads, without any
	Output  command.LineOutput
}

// NewArchive makes the command that archives. It calls runF, if that is not nil, instead of running.
func NewArchive(f *command.Factory, runF func(*ArchiveOptions) error) *cobra.Command {
	opts := &ArchiveOptions{Streams: f.Streams, Archive: f.Service.ArchiveAudit}
	cmd := &cobra.Command{
		Use:   "archive [BOTTLE…]",
		Short: "Archive audit logs, so that they have room again",
		Long: `Rename the audit logs of bottles, or of all with the log of heads, and begin new ones that continue them. An archive is named after
the number of its last record: dev.jsonl becomes dev.jsonl.1200. A controller and sessions may go on meanwhile. Archives can be
compressed, moved or removed later: "audit --verify" finds those beside the log by itself.

A log with nothing new since the last time is left as it is. Don't rename logs by hand: another process may then go on after
an older record.`,
		Example: `  bottled audit archive
  bottled audit archive dev -o json`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Bottles = bottles
			return command.Run(cmd.Context(), opts, runF, runArchive)
		},
	}
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func runArchive(_ context.Context, opts *ArchiveOptions) error {
	archived := 0
	err := opts.Archive(opts.Bottles, func(a audit.Archived) error {
		archived++
		if opts.Output.IsJSON() {
			return command.JSONLine(opts.Out, a)
		}
		name := a.Bottle
		if name == "" {
			name = "heads"
		}
		return opts.Out.Line("archived %s, up to record %d: %s", name, a.Records, a.File)
	})
	if err == nil && archived == 0 {
		return opts.Errs.Line("nothing new since the last time")
	}
	return err
}
