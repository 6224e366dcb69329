package service

import (
	"context"
	"fmt"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/control"
)

// undecided is a controller without a desk.
type undecided struct{ *control.Controller }

func (undecided) Proposals() []reconciler.Proposal { return nil }

func (undecided) Review(_ context.Context, id string) (reconciler.Review, error) {
	return reconciler.Review{}, fmt.Errorf("%w %.64q", reconciler.ErrNoProposal, id)
}

func (undecided) Decide(_ context.Context, _, id string, _ reconciler.DecisionRequest) error {
	return fmt.Errorf("%w %.64q", reconciler.ErrNoProposal, id)
}
