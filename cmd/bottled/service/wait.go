package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Awaited is what bottles are waited for.
type Awaited string

// What can be waited for.
const (
	AwaitReady     Awaited = "ready"
	AwaitCompleted Awaited = "completed" // the agent has ended for good, well or not
)

// errReached ends a stream.
var errReached = errors.New("reached")

// Await waits until bottles are as awaited, at most as long as the setting Timeout says, and returns their statuses. It asks the
// controller, or the engine where no controller runs.
func (s *Service) Await(ctx context.Context, bottles []string, what Awaited) ([]reconciler.BottleStatus, error) {
	source, err := s.StatusSource()
	if err != nil {
		return nil, err
	}
	return await(ctx, source, bottles, what, s.Settings.Timeout)
}

func await(ctx context.Context, source *StatusSource, bottles []string, what Awaited, timeout time.Duration) ([]reconciler.BottleStatus, error) {
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var reached []reconciler.BottleStatus
	var obstacle error
	err := source.Follow(wait, func(status reconciler.Status) error {
		found, err := status.Select(bottles)
		if err != nil {
			if obstacle = err; status.Controller != nil {
				return nil // its manifest may be about to be read
			}
			return err
		}
		obstacle = nil
		for _, b := range found {
			there, hopeless := hasReached(b, what)
			if hopeless != nil {
				return hopeless
			}
			if !there && obstacle == nil {
				obstacle = fmt.Errorf("bottle %s: %s", b.Slug, report.Because(b.Reason, b.Message))
			}
		}
		if obstacle == nil {
			reached = found
			return errReached
		}
		return nil
	}, func(err error) { obstacle = err })
	switch {
	case errors.Is(err, errReached):
		return reached, nil
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	}
	return nil, fmt.Errorf("not %s after %s: %w", what, timeout, obstacle)
}

// hasReached reports whether a bottle is as awaited. The error says why it never will be without somebody's help.
func hasReached(b reconciler.BottleStatus, what Awaited) (bool, error) {
	agent := b.Agent()
	ended := agent != nil && agent.Ended != nil
	switch {
	case b.Outdated() || b.IsTrue(reconciler.ConditionReconciling):
		return false, nil
	case b.Reason == reconciler.ReasonSuspend:
		return false, fmt.Errorf("bottle %s is suspended: bottled resume %s, or take suspend out of its manifest", b.Slug, b.Slug)
	case what == AwaitReady && ended:
		return false, fmt.Errorf("bottle %s: its agent has ended: %s with exit code %d", b.Slug, agent.Phase, agent.Ended.ExitCode)
	case what == AwaitReady:
		return b.Ready, nil
	case agent == nil && b.Ready:
		return false, fmt.Errorf("bottle %s has no agent that could complete", b.Slug)
	}
	return ended, nil
}
