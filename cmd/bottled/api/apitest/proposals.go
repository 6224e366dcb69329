package apitest

import (
	"context"
	"fmt"
	"slices"

	"github.com/bot-bottle/bottled/reconciler"
)

// SetProposals changes what agents ask for, with the reviews of that.
func (s *Source) SetProposals(reviews ...reconciler.Review) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviews = slices.Clone(reviews)
	s.notify()
}

// Proposals returns those that were set.
func (s *Source) Proposals() []reconciler.Proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []reconciler.Proposal
	for _, r := range s.reviews {
		all = append(all, r.Proposal)
	}
	return all
}

// Review returns one that was set.
func (s *Source) Review(_ context.Context, id string) (reconciler.Review, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reviews {
		if r.ID == id {
			return r, nil
		}
	}
	return reconciler.Review{}, fmt.Errorf("%w %q", reconciler.ErrNoProposal, id)
}

// Decide calls OnDecide.
func (s *Source) Decide(ctx context.Context, by, id string, decision reconciler.DecisionRequest) error {
	if _, err := s.Review(ctx, id); err != nil {
		return err
	}
	if s.OnDecide == nil {
		return nil
	}
	return s.OnDecide(by, id, decision)
}
