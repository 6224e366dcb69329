package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// Decisions is where decisions about proposals are made: a [service.Service].
type Decisions interface {
	CheckController(ctx context.Context) error
	FindProposal(ctx context.Context, id string) (reconciler.Proposal, error)
	Review(ctx context.Context, id string) (reconciler.Review, error)
	Decide(ctx context.Context, id string, decision reconciler.DecisionRequest) error
	Answers
}

// Answers is where one learns what becomes of a decision.
type Answers interface {
	AwaitAnswer(ctx context.Context, id string, progress func(reconciler.Proposal)) (reconciler.Proposal, error)
}

// FindProposals returns the proposals that are meant by IDs, each once, if there are all of them and a controller that decides.
func FindProposals(ctx context.Context, from Decisions, ids []string) ([]reconciler.Proposal, error) {
	if err := from.CheckController(ctx); err != nil {
		return nil, err
	}
	var found []reconciler.Proposal
	var failed []error
	known := map[string]bool{}
	for _, id := range ids {
		p, err := from.FindProposal(ctx, id)
		if err != nil {
			failed = append(failed, err)
		} else if !known[p.ID] {
			known[p.ID] = true
			found = append(found, p)
		}
	}
	return found, errors.Join(failed...)
}

// AwaitAnswers waits until the proposals, which were decided, are answered, and prints how each ended.
func (s Streams) AwaitAnswers(ctx context.Context, from Answers, decided []reconciler.Proposal) error {
	var failed []error
	for _, p := range decided {
		ended, err := from.AwaitAnswer(ctx, p.ID, s.showStep)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if err := s.Out.Line("%s", AnswerText(ended)); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// showStep shows, on a terminal, what a decision waits for.
func (s Streams) showStep(p reconciler.Proposal) {
	if s.Errs.IsTerminal() && p.State == reconciler.ProposalApplying && p.Message != "" {
		_ = s.Errs.Line("%s: %s", report.RandomPart(p.ID), report.Flat(p.Message)) // the outcome is what counts
	}
}

// AnswerText says how a proposal ended.
func AnswerText(p reconciler.Proposal) string {
	status := queue.Status("answered")
	if p.Decision != nil {
		status = p.Decision.Status
	}
	text := fmt.Sprintf("%s: %s, bottle %s: %s", report.RandomPart(p.ID), status, p.Bottle, report.Short(report.Flat(p.Summary)))
	if p.State == reconciler.ProposalMerging {
		text += " (waits to be merged: " + report.Flat(p.Message) + ")"
	}
	return text
}
