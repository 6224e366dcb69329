// Package validate is bottled validate.
package validate

import (
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/source"
)

// Options of the command.
type Options struct {
	command.Streams
	Validate func(paths []string) (source.Snapshot, error)
	Dirs     []string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Validate: f.Service.Validate}
	return &cobra.Command{
		Use:   "validate DIR…",
		Short: "Check manifests, without an engine",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, dirs []string) error {
			opts.Dirs = dirs
			if runF != nil {
				return runF(opts)
			}
			return run(opts)
		},
	}
}

func run(opts *Options) error {
	snapshot, err := opts.Validate(opts.Dirs)
	if err != nil {
		return err
	}
	if err := opts.PrintNotices(snapshot); err != nil {
		return err
	}
	if err := command.Problems(snapshot); err != nil {
		return err
	}
	return opts.Out.Line("%s in %s: all valid", report.Count(len(snapshot.Bottles), "bottle"), report.Count(snapshot.Files, "file"))
}
