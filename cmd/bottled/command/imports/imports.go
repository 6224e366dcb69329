// Package imports is bottled import.
package imports

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/source"
)

// Options of the command.
type Options struct {
	command.Streams
	Import func(paths []string) ([]source.Imported, error)
	Files  []string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Import: f.Service.Import}
	return &cobra.Command{
		Use:   "import FILE…",
		Short: "Print claude-bottle's Markdown bottles as manifests",
		Long: `Print the manifests that are equivalent to claude-bottle's Markdown bottles (NAME.md), as one YAML stream. Of a directory,
all such files in it and below. With --agent-image the agents get that image; claude-bottle's files name none.

What has no equivalent is named on stderr and in a comment of the manifest, and the exit code is 3. It is 3, too, when
something is wrong in a file; then there is no manifest of this one.`,
		Example: `  bottled import ~/.claude-bottle/bottles > bottles/imported.yaml
  bottled import --agent-image my-agent:latest dev.md`,
		Args: command.AtLeastOne("a file of claude-bottle, or a directory of them"),
		RunE: func(_ *cobra.Command, files []string) error {
			opts.Files = files
			if runF != nil {
				return runF(opts)
			}
			return run(opts)
		},
	}
}

func run(opts *Options) error {
	all, err := opts.Import(opts.Files)
	if err != nil {
		return err
	}
	printed, problems := 0, 0
	for _, one := range all {
		for _, p := range one.Problems {
			if err := opts.Errs.Line("%v", p); err != nil {
				return err
			}
			problems++
		}
		if one.Manifest == nil {
			continue
		}
		if printed++; printed > 1 {
			one.Manifest = append([]byte("---\n"), one.Manifest...)
		}
		if err := opts.Out.Manifest(one.Manifest); err != nil {
			return err
		}
	}
	if problems > 0 {
		return exit.Invalid(fmt.Errorf("%s; %s of %s printed",
			report.Count(problems, "problem"), report.Count(printed, "manifest"), report.Count(len(all), "file")))
	}
	return nil
}
