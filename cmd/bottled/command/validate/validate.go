// Package validate is bottled validate.
package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/source"
)

// Options of the command.
type Options struct {
	command.Streams
	Validate   func(ctx context.Context, paths []string) (source.Snapshot, error)
	Dirs       []string
	AllowEmpty bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Validate: f.Service.Validate}
	var files []string
	cmd := &cobra.Command{
		Use:   "validate DIR…",
		Short: "Check manifests, without an engine",
		Long: "Checks manifests, and as far as this host has them the tokens, CA bundles, mounts and build contexts that they refer to. It needs no engine; " +
			"if one answers, runtimes are checked, too.",
		Example: `  bottled validate bottles
  bottled validate bottles/dev.yaml
  kustomize build . | bottled validate -`,
		Args: command.ManifestArgs(&files),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			opts.Dirs = slices.Concat(dirs, files)
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().BoolVar(&opts.AllowEmpty, "allow-empty", false, "succeed also if no bottle is declared")
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "another `file` or directory of manifests; - for stdin")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	snapshot, err := opts.Validate(ctx, opts.Dirs)
	if err != nil {
		return err
	}
	if err := opts.PrintNotices(snapshot); err != nil {
		return err
	}
	if err := command.Problems(snapshot); err != nil {
		return err
	}
	if len(snapshot.Bottles) == 0 && !opts.AllowEmpty {
		return exit.Invalid(fmt.Errorf("no bottle is declared in %s: check the path (manifests end in .yaml, .yml or .json, claude-bottle's in .md), or allow it with --allow-empty",
			strings.Join(opts.Dirs, ", ")))
	}
	policy := ""
	if snapshot.Policy != nil {
		policy = " and approval policy " + snapshot.Policy.Metadata.Name
	}
	return opts.Out.Line("%s%s in %s: all valid", report.Count(len(snapshot.Bottles), "bottle"), policy, report.Count(snapshot.Files, "file"))
}
