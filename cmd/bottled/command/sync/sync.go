// Package sync is bottled sync.
package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Syncer is a [service.Service].
type Syncer interface {
	RequestSync(ctx context.Context, prune bool) (number int64, err error)
	AwaitSync(ctx context.Context, number int64) (reconciler.Status, error)
}

// Options of the command.
type Options struct {
	command.Streams
	Service   Syncer
	PruneHeld bool
	NoWait    bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make the running controller look at everything now",
		Long: `Make the running controller read its manifests, look at everything on the engine and put right what differs, now.
It waits until that is done, at most as long as --timeout says, and fails when a bottle is not ready then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(opts)
			}
			return run(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.PruneHeld, "prune-held", false, "this once, also remove bottles that are kept because their removal looks like an accident")
	cmd.Flags().BoolVar(&opts.NoWait, "no-wait", false, "only ask for it")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	number, err := opts.Service.RequestSync(ctx, opts.PruneHeld)
	if err != nil {
		return err
	}
	if opts.NoWait {
		return opts.Out.Line("sync requested")
	}
	status, err := opts.Service.AwaitSync(ctx, number)
	if err != nil {
		return err
	}
	if err := verdict(status); err != nil {
		return err
	}
	text := "in sync: " + report.Count(len(status.Bottles), "bottle")
	if revision := status.Controller.Revision; revision != "" {
		text += ", revision " + revision
	}
	return opts.Out.Line("%s", text)
}

// verdict is the error that a sync ends with, if not all is well.
func verdict(status reconciler.Status) error {
	var unready []string
	for _, b := range status.Bottles {
		if !b.Healthy() && b.Reason != reconciler.ReasonInvalid { // the problem in its manifest is reported below
			unready = append(unready, fmt.Sprintf("%s (%s)", b.Slug, report.Because(b.Reason, b.Message)))
		}
	}
	c := status.Controller
	switch {
	case len(unready) > 0:
		return fmt.Errorf("%d of %s not ready: %s", len(unready), report.Count(len(status.Bottles), "bottle"), strings.Join(unready, ", "))
	case c.SourceError != "":
		return fmt.Errorf("the bottles are kept as they were declared last, because their source can't be read: %s", c.SourceError)
	case !c.Engine.Reachable:
		return errors.New(strings.Join(report.Troubles(&reconciler.ControllerStatus{Engine: c.Engine}, time.Now()), "; "))
	case len(c.Problems) > 0:
		return exit.Invalid(fmt.Errorf("%s in the manifests: %s", report.Count(len(c.Problems), "problem"), strings.Join(c.Problems, "; ")))
	}
	return nil
}
