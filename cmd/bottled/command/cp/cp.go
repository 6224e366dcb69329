// Package cp is bottled cp.
package cp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/service/transfer"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/state"
)

// Copier is a [service.Service].
type Copier interface {
	CopyFrom(ctx context.Context, from service.Target, name, local string, limit int64) ([]transfer.Skipped, error)
	CopyTo(ctx context.Context, local string, to service.Target, name string) ([]transfer.Skipped, error)
}

// Options of the command.
type Options struct {
	command.Streams
	Service  Copier
	ToBottle bool
	Local    string
	Target   service.Target
	Path     string // in the bottle
	Limit    int64  // bytes
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	var size string
	cmd := &cobra.Command{
		Use:   "cp BOTTLE[/COMPONENT]:PATH LOCAL | cp LOCAL BOTTLE[/COMPONENT]:PATH",
		Short: "Copy files from or to a bottle",
		Long: `Copy a file, or a directory with everything in it, from or to the running container of a component: the agent, if none is
named. When the destination is a directory, it is copied into it; otherwise it gets that name. Existing files are overwritten.

What an agent has is not trusted. Only regular files and directories are copied from a bottle, without set-user-ID bits, and at
most --max-size of them; symbolic links and devices are named and left out. A local path that an agent can write, in a
directory mounted into its bottle, is refused: its symbolic links could lead anywhere. In a bottle, copied files belong to the container's user.`,
		Example: `  bottled cp dev:/work/report.md .
  bottled cp dev:/work/out results --max-size 5Gi
  bottled cp notes.md dev:/work/`,
		Args:              func(_ *cobra.Command, args []string) error { return opts.parse(args) },
		ValidArgsFunction: f.CompleteCopies,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Limit = scalar.Quantity(size, 1); opts.Limit <= 0 {
				return exit.Usage(fmt.Errorf("--max-size %q is not a quantity; %s", size, scalar.SuggestQuantity(size)))
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().StringVar(&size, "max-size", "1Gi", "at most so much is copied from a bottle")
	return cmd
}

// parse tells the path in the bottle from the local one.
func (o *Options) parse(args []string) error {
	if len(args) != 2 {
		return errors.New("name a source and a destination: one in a bottle, as in dev:/work/report.md, and one of this host")
	}
	from, fromBottle := remote(args[0])
	to, toBottle := remote(args[1])
	if fromBottle == toBottle {
		return errors.New("one of the two paths must be in a bottle, as in dev:/work/report.md, and the other one of this host; write ./a:b for a local file with a colon")
	}
	o.ToBottle, o.Local = toBottle, args[0]
	place := to
	if fromBottle {
		place, o.Local = from, args[1]
	}
	var err error
	if o.Target, err = command.ParseTarget(place.target); err != nil {
		return err
	}
	o.Target.Component, o.Path = cmp.Or(o.Target.Component, state.Agent), place.path
	if !path.IsAbs(o.Path) || strings.ContainsRune(o.Path, 0) {
		return fmt.Errorf("%s:%s: write the absolute path in the bottle, as in %s:/work/report.md", place.target, o.Path, place.target)
	}
	return nil
}

type place struct{ target, path string }

// remote takes BOTTLE:PATH apart. A local path that has a colon begins with / or a dot.
func remote(text string) (place, bool) {
	target, path, is := strings.Cut(text, ":")
	if !is || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return place{}, false
	}
	return place{target, path}, true
}

func run(ctx context.Context, opts *Options) error {
	var skipped []transfer.Skipped
	var err error
	if opts.ToBottle {
		skipped, err = opts.Service.CopyTo(ctx, opts.Local, opts.Target, opts.Path)
	} else {
		skipped, err = opts.Service.CopyFrom(ctx, opts.Target, opts.Path, opts.Local, opts.Limit)
	}
	for _, s := range skipped {
		if err := opts.Errs.Line("not copied: %s: %s", s.Path, s.Reason); err != nil {
			return err
		}
	}
	if err != nil {
		return command.Concerning(opts.Target.Bottle, err)
	}
	return nil
}
