package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/bot-bottle/bottled/reconciler"
)

// Proposals reads what agents ask for, see Approvals.
func (c *Client) Proposals(ctx context.Context) ([]reconciler.Proposal, error) {
	var answer proposalsAnswer
	err := c.call(ctx, http.MethodGet, "/v1/proposals", nil, http.StatusOK, &answer)
	return answer.Proposals, err
}

// WatchProposals calls show with what Proposals returns, at once and after every change. Otherwise it is like Watch.
func (c *Client) WatchProposals(ctx context.Context, show func([]reconciler.Proposal) error) error {
	return watch(ctx, c, "/v1/proposals/stream", "proposals", func(answer proposalsAnswer) error { return show(answer.Proposals) })
}

// Review reads what a person needs to decide about a proposal. The error is marked reconciler.ErrNoProposal where there is none.
func (c *Client) Review(ctx context.Context, id string) (reconciler.Review, error) {
	var review reconciler.Review
	err := c.call(ctx, http.MethodGet, "/v1/proposals/"+url.PathEscape(id), nil, http.StatusOK, &review)
	return review, err
}

// Decide sends a decision about a proposal. It returns when the controller has it on file. The error of a wrong one is in the
// controller's words, marked reconciler.ErrNoProposal or reconciler.ErrDecision.
func (c *Client) Decide(ctx context.Context, id string, decision reconciler.DecisionRequest) error {
	body := decisionBody{DecisionRequest: decision}
	if decision.For != 0 {
		body.For = decision.For.String()
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, "/v1/proposals/"+url.PathEscape(id)+"/decision", text, http.StatusAccepted, &struct{}{})
}

// Allow has a bottle reach a host, see Approvals. Its errors are as Decide's.
func (c *Client) Allow(ctx context.Context, bottle string, request reconciler.AllowRequest) (id string, err error) {
	body := allowBody{AllowRequest: request}
	if request.For != 0 {
		body.For = request.For.String()
	}
	return c.change(ctx, bottle, "allow", body)
}

// ReviewRollback reads what Rollback would change, see Approvals.
func (c *Client) ReviewRollback(ctx context.Context, bottle string) (reconciler.Review, error) {
	var review reconciler.Review
	err := c.call(ctx, http.MethodGet, "/v1/bottles/"+url.PathEscape(bottle)+"/rollback", nil, http.StatusOK, &review)
	return review, err
}

// Rollback gives a bottle's agent the previous Dockerfile back, see Approvals. Its errors are as Decide's.
func (c *Client) Rollback(ctx context.Context, bottle string, request reconciler.RollbackRequest) (id string, err error) {
	return c.change(ctx, bottle, "rollback", request)
}

// change asks for a change of a person's own, and returns the ID of its proposal.
func (c *Client) change(ctx context.Context, bottle, what string, request any) (id string, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	var answer changeAnswer
	err = c.call(ctx, http.MethodPost, "/v1/bottles/"+url.PathEscape(bottle)+"/"+what, text, http.StatusAccepted, &answer)
	return answer.ID, err
}
