package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
)

func (a *app) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE…",
		Short: "Print claude-bottle's Markdown bottles as manifests",
		Long: `Print the manifests that are equivalent to claude-bottle's Markdown bottles (NAME.md), as one YAML stream. Of a directory,
all such files in it and below. With --agent-image the agents get that image; claude-bottle's files name none.

What has no equivalent is named on stderr and in a comment of the manifest, and the exit code is 3. It is 3, too, when
something is wrong in a file; then there is no manifest of this one.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error { return a.convert(files) },
	}
}

func (a *app) convert(files []string) error {
	all, err := manifests.Import(a.settings.image(state.Agent), files...)
	switch {
	case err != nil:
		return exitError{exitBadInput, err}
	case len(all) == 0:
		return exitError{exitBadInput, fmt.Errorf("no bottle of claude-bottle is there")}
	}
	printed, problems := 0, 0
	for _, one := range all {
		for _, p := range one.Problems {
			if err := a.errs.line("%v", p); err != nil {
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
		if err := a.out.manifest(one.Manifest); err != nil {
			return err
		}
	}
	if problems > 0 {
		return exitError{exitBadInput, fmt.Errorf("%s; %s of %s printed", count(problems, "problem"), count(printed, "manifest"), count(len(all), "file"))}
	}
	return nil
}
