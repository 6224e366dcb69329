package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	// restartWait is how long a controller may be away while it restarts.
	restartWait = time.Minute
	restartPoll = time.Second
)

// errEnded ends a stream.
var errEnded = errors.New("ended")

// AwaitAnswer waits until a proposal that was decided is answered, or its change waits to be merged, and calls progress with each step. It
// goes on over a restart of the controller. The error says why the decision is not in force.
func (s *Service) AwaitAnswer(ctx context.Context, id string, progress func(reconciler.Proposal)) (reconciler.Proposal, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.Proposal{}, err
	}
	return awaitAnswer(ctx, api.Dial(socket).WatchProposals, id, progress)
}

type watchProposals func(ctx context.Context, show func([]reconciler.Proposal) error) error

func awaitAnswer(ctx context.Context, watch watchProposals, id string, progress func(reconciler.Proposal)) (reconciler.Proposal, error) {
	var last reconciler.Proposal
	var verdict error
	seen := time.Now()
	for {
		err := watch(ctx, func(all []reconciler.Proposal) error {
			seen = time.Now()
			i := slices.IndexFunc(all, func(p reconciler.Proposal) bool { return p.ID == id })
			if i < 0 {
				verdict = fmt.Errorf("proposal %s is not there any more; the controller's log and the audit log say what became of it", id)
				return errEnded
			}
			if all[i].State != last.State || all[i].Message != last.Message {
				progress(all[i])
			}
			last = all[i]
			ended, err := outcome(last)
			if verdict = err; ended {
				return errEnded
			}
			return nil
		})
		switch {
		case errors.Is(err, errEnded):
			return last, verdict
		case ctx.Err() != nil:
			return last, fmt.Errorf("interrupted; the controller goes on: bottled proposals show %s", id)
		case time.Since(seen) > restartWait:
			return last, fmt.Errorf("the controller has the decision on file, and carries it out when it runs again: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartPoll):
		}
	}
}

// outcome reports whether a decision is carried out, as far as the controller does that, or why it is not in force.
func outcome(p reconciler.Proposal) (ended bool, err error) {
	switch {
	case p.State == reconciler.ProposalApplying:
		return false, nil
	case p.State == reconciler.ProposalWaiting:
		return true, fmt.Errorf("proposal %s waits again: %s", p.ID, p.Message)
	case p.Decision != nil && p.Decision.Status == queue.Failed:
		return true, fmt.Errorf("proposal %s was approved, and the change was taken back: %s", p.ID, p.Message)
	}
	return true, nil
}
