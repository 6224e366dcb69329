package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
)

func (a *app) syncCommand() *cobra.Command {
	var noWait, pruneHeld bool
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make the running controller look at everything now",
		Long: `Make the running controller read its manifests, look at everything on the engine and put right what differs, now.
It waits until that is done, at most as long as --timeout says, and fails when a bottle is not ready then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.sync(cmd.Context(), pruneHeld, noWait)
		},
	}
	cmd.Flags().BoolVar(&pruneHeld, "prune-held", false, "this once, also remove bottles that are kept because their removal looks like an accident")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "only ask for it")
	return cmd
}

func (a *app) sync(ctx context.Context, confirm, noWait bool) error {
	socket, err := a.settings.socket()
	if err != nil {
		return err
	}
	controller := api.Dial(socket)
	target, err := controller.Sync(ctx, confirm)
	if errors.Is(err, api.ErrNoController) {
		return fmt.Errorf("no controller runs for owner %s (socket %s): start one with bottled reconcile DIR…", a.settings.Owner, socket)
	}
	if err != nil {
		return err
	}
	if noWait {
		return a.out.line("sync requested")
	}
	live, err := awaitSync(ctx, controller, target, a.settings.Timeout)
	if err != nil {
		return err
	}
	return a.syncVerdict(live)
}

// errSynced ends a stream.
var errSynced = errors.New("synced")

// awaitSync follows the controller until a full resync, and all that came of it, is done.
func awaitSync(ctx context.Context, controller *api.Client, target int64, timeout time.Duration) (reconciler.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last reconciler.Status
	err := controller.Watch(ctx, func(live reconciler.Status) error {
		last = live
		if len(pending(live, target)) == 0 {
			return errSynced
		}
		return nil
	})
	switch {
	case errors.Is(err, errSynced):
		return last, nil
	case errors.Is(err, context.DeadlineExceeded):
		return last, fmt.Errorf("not in sync after %s: %s", timeout, strings.Join(pending(last, target), "; "))
	}
	return last, fmt.Errorf("not in sync: %w", err)
}

// pending is what a resync is not done with.
func pending(live reconciler.Status, target int64) []string {
	var left []string
	if c := live.Controller; c == nil || c.Syncs < target {
		left = append(left, "the resync is not done")
		if c != nil {
			left = append(left, troubles(c, time.Now())...)
		}
	}
	for _, b := range live.Bottles {
		switch c := condition(b, reconciler.ConditionReconciling); {
		case c != nil && c.Status == "True":
			left = append(left, fmt.Sprintf("%s is being reconciled (%s)", b.Slug, because(c.Reason, c.Message)))
		case waits(b):
			left = append(left, b.Slug+" has a newer declaration that waits")
		}
	}
	return left
}

// syncVerdict prints the outcome, or turns it into an error.
func (a *app) syncVerdict(live reconciler.Status) error {
	var unready []string
	for _, b := range live.Bottles {
		if !fine(b) && b.Reason != reconciler.ReasonInvalid { // the problem in its manifest is told below
			unready = append(unready, fmt.Sprintf("%s (%s)", b.Slug, because(b.Reason, b.Message)))
		}
	}
	c := live.Controller
	switch {
	case len(unready) > 0:
		return fmt.Errorf("%d of %s not ready: %s", len(unready), count(len(live.Bottles), "bottle"), strings.Join(unready, ", "))
	case c.SourceError != "":
		return fmt.Errorf("the bottles are kept as they were declared last, because their source can't be read: %s", c.SourceError)
	case !c.Engine.Reachable:
		return errors.New(strings.Join(troubles(&reconciler.ControllerStatus{Engine: c.Engine}, time.Now()), "; "))
	case len(c.Problems) > 0:
		return exitError{exitBadInput, fmt.Errorf("%s in the manifests: %s", count(len(c.Problems), "problem"), strings.Join(c.Problems, "; "))}
	}
	text := "in sync: " + count(len(live.Bottles), "bottle")
	if c.Revision != "" {
		text += ", revision " + c.Revision
	}
	return a.out.line("%s", text)
}

func because(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + flat(message)
}
