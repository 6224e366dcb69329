package volumes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

// RemoveOptions are the options of bottled volumes rm.
type RemoveOptions struct {
	command.Streams
	List    func(ctx context.Context) ([]service.Volume, error)
	Remove  func(ctx context.Context, v service.Volume) error
	Confirm func(question string) error // nil: nobody is there to answer
	Names   []string
	Orphans bool
}

// NewRemove makes the command. It calls runF, if that is not nil, instead of running.
func NewRemove(f *command.Factory, runF func(*RemoveOptions) error) *cobra.Command {
	opts := &RemoveOptions{Streams: f.Streams, List: f.Service.Volumes, Remove: f.Service.RemoveVolume}
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm NAME… | --orphans",
		Short: "Remove volumes, with what is in them",
		Long: `Remove volumes, with what is in them. A volume that a container mounts is not removed, and neither is one of another owner. A volume that
a bottle declares is made again, empty, with the container that mounts it.

It asks first, if somebody is there to answer: stdin and stderr are a terminal. --yes answers.`,
		Example: `  bottled volumes rm claude-bottle-volume-cache.dev
  bottled volumes rm --orphans --yes`,
		ValidArgsFunction: f.CompleteVolumes,
		Args: func(_ *cobra.Command, names []string) error {
			opts.Names = names
			if opts.Orphans == (len(names) > 0) {
				return errors.New("name volumes, or give --orphans: one of the two")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				opts.Confirm = f.Confirm()
			}
			return command.Run(cmd.Context(), opts, runF, remove)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&opts.Orphans, "orphans", false, "every volume that no bottle declares and no container mounts")
	return cmd
}

func remove(ctx context.Context, opts *RemoveOptions) error {
	all, err := opts.List(ctx)
	if err != nil {
		return err
	}
	selected, err := service.SelectVolumes(all, opts.Names)
	if err != nil {
		return err
	}
	if len(selected) == 0 {
		return opts.Out.Line("no orphans")
	}
	if opts.Confirm != nil {
		var names []string
		for _, v := range selected {
			names = append(names, v.Name)
		}
		if err := opts.Confirm(fmt.Sprintf("Remove %s with all data: %s?", report.Count(len(names), "volume"), strings.Join(names, ", "))); err != nil {
			return err
		}
	}
	var failed []error
	for _, v := range selected {
		if err := opts.Remove(ctx, v); err != nil {
			failed = append(failed, err)
			continue
		}
		if err := opts.Out.Line("volume %s removed", v.Name); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
