package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// RequestSync asks the running controller for a full resync, and returns its number for AwaitSync. With prune, the resync also
// removes the bottles that are kept because their removal looks like an accident.
func (s *Service) RequestSync(ctx context.Context, prune bool) (number int64, err error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return 0, err
	}
	number, err = api.Dial(socket).Sync(ctx, prune)
	return number, s.explainNoController(err, socket)
}

// explainNoController returns the error of a call to the controller, with the remedy where none runs.
func (s *Service) explainNoController(err error, socket string) error {
	if errors.Is(err, api.ErrNoController) {
		return fmt.Errorf("no controller runs for owner %s (socket %s): start one with bottled reconcile DIR…", s.Settings.Owner, socket)
	}
	return err
}

// AwaitSync waits until the controller has completed a resync and all that followed from it, at most for the timeout.
func (s *Service) AwaitSync(ctx context.Context, number int64) (reconciler.Status, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.Status{}, err
	}
	return awaitSync(ctx, api.Dial(socket), number, s.Settings.Timeout)
}

// errSynced ends a stream.
var errSynced = errors.New("synced")

func awaitSync(ctx context.Context, controller statusClient, number int64, timeout time.Duration) (reconciler.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last reconciler.Status
	err := controller.Watch(ctx, func(status reconciler.Status) error {
		last = status
		if len(pending(status, number)) == 0 {
			return errSynced
		}
		return nil
	})
	switch {
	case errors.Is(err, errSynced):
		return last, nil
	case errors.Is(err, context.DeadlineExceeded):
		return last, fmt.Errorf("not in sync after %s:\n  %s", timeout, strings.Join(pending(last, number), "\n  "))
	}
	return last, fmt.Errorf("not in sync: %w", err)
}

// pending says what a resync still waits for.
func pending(status reconciler.Status, number int64) []string {
	var left []string
	if c := status.Controller; c == nil || c.Syncs < number {
		left = append(left, "the resync is not done")
		if c != nil {
			left = append(left, report.Troubles(c, time.Now())...)
		}
	}
	for _, b := range status.Bottles {
		switch {
		case b.IsTrue(reconciler.ConditionReconciling):
			c := b.Condition(reconciler.ConditionReconciling)
			left = append(left, fmt.Sprintf("%s is being reconciled (%s)", b.Slug, report.Because(c.Reason, c.Message)))
		case b.Outdated():
			left = append(left, b.Slug+" has a newer declaration that waits")
		}
	}
	return left
}
