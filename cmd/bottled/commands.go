package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state/store"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate DIR…",
		Short: "Check manifests, without an engine",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, dirs []string) error {
			snapshot, err := a.load(manifests.Known{}, dirs)
			if err != nil {
				return err
			}
			if n := len(snapshot.Problems); n > 0 {
				return exitError{exitBadInput, fmt.Errorf("%s in the manifests", count(n, "problem"))}
			}
			return a.out.line("%s in %s: all valid", count(len(snapshot.Bottles), "bottle"), count(snapshot.Files, "file"))
		},
	}
}

func (a *app) deleteCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "delete SLUG… | --all",
		Short: "Remove bottles: containers, networks, configuration, tokens",
		Long: `Remove bottles: containers, networks, configuration, tokens. Proposals and the audit log are kept.
A bottle whose manifest is still there comes back with the next reconcile.`,
		Args: func(_ *cobra.Command, slugs []string) error {
			if all == (len(slugs) > 0) {
				return errors.New("name bottles, or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, slugs []string) error { return a.remove(cmd, slugs) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "every bottle of this owner")
	return cmd
}

func (a *app) remove(cmd *cobra.Command, slugs []string) error {
	r, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	release, err := store.Lock(r.Settings.StateDir, r.Settings.Owner)
	if err != nil {
		return err
	}
	plan, err := r.PlanDelete(cmd.Context(), slugs)
	if err != nil {
		return errors.Join(err, release())
	}
	if len(plan.Bottles) == 0 {
		return errors.Join(a.out.line("no bottles"), release())
	}
	progress := a.watch(r)
	failed := r.Execute(cmd.Context(), plan)
	progress.end()
	var errs []error
	for _, b := range plan.Bottles {
		if err := failed[b.Slug]; err != nil {
			errs = append(errs, fmt.Errorf("bottle %s: %w", b.Slug, err))
			continue
		}
		if err := a.out.line("bottle %s removed", b.Slug); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, release())...)
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of manifests, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := manifests.Schema()
			if err != nil {
				return err
			}
			return a.out.data(append(schema, '\n'))
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.out.line("bottled %s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// version is what the Go toolchain stamped into the executable.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v
}
