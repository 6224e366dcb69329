package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove everything that run made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{shell: &shell{out: cmd.OutOrStdout()}}
			return d.down(cmd.Context())
		},
	}
}

func (d *demo) down(ctx context.Context) error {
	images, err := d.images(ctx)
	if err != nil {
		return err
	}
	if err := d.preflight(ctx); err != nil { // removes the upstream, which is on a bottle's network
		return err
	}
	if err := d.through(ctx, bottled("delete", "--all")...); err != nil {
		return err
	}
	for _, image := range images {
		r, err := d.shown(ctx, "docker", "image", "rm", image)
		if err != nil {
			return err
		}
		if r.code != 0 {
			d.say("(%s stays: something else uses it.)", image)
		}
	}
	d.say("\nremoving %s and, in %s, %s", workDir, manifestDir, strings.Join(preparedFiles, ", "))
	failed := []error{os.RemoveAll(workDir)}
	for _, name := range preparedFiles {
		if err := os.Remove(filepath.Join(manifestDir, name)); !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// images are this program's, and those that the demo's sidecars are made from.
func (d *demo) images(ctx context.Context) ([]string, error) {
	own, err := d.must(ctx, "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference="+repository)
	if err != nil {
		return nil, err
	}
	used, err := d.must(ctx, "docker", "ps", "--all", "--format", "{{.Image}}", "--filter", "label=bottled.owner="+owner)
	if err != nil {
		return nil, err
	}
	images := append(strings.Fields(own), strings.Fields(used)...)
	slices.Sort(images)
	return slices.Compact(images), nil
}
