package approve

import (
	"context"
	"net/url"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// Allow adds a host, with its port, to a bottle's allowlist as somebody wishes whom no agent has asked. It is an approval in all other
// respects: when it returns nil the decision is on file and will be carried out. It returns its ID. What can't be done is an ErrDecision.
func (d *Desk) Allow(_ context.Context, by, bottle string, request reconciler.AllowRequest) (id string, err error) {
	target := url.URL{Scheme: "https", Host: request.Host, Path: "/"}
	return d.change(by, bottle, queue.Proposal{Tool: queue.PipelockBlock, Payload: target.String()}, reconciler.DecisionRequest{
		Approve: true, For: request.For, Notes: request.Notes,
	})
}

// ReviewRollback returns what Rollback would change.
func (d *Desk) ReviewRollback(ctx context.Context, bottle string) (reconciler.Review, error) {
	wish, err := d.rollbackWish(bottle)
	if err != nil {
		return reconciler.Review{}, err
	}
	wish.Bottle = bottle
	return d.review(ctx, reconciler.Proposal{Bottle: bottle, Tool: wish.Tool, Summary: summaryOfRollback}, wish), nil
}

// Rollback gives the agent's image the Dockerfile back that it had before the last approval of one, or before the last rollback. It is like
// Allow.
func (d *Desk) Rollback(_ context.Context, by, bottle string, request reconciler.RollbackRequest) (id string, err error) {
	wish, err := d.rollbackWish(bottle)
	if err != nil {
		return "", err
	}
	return d.change(by, bottle, wish, reconciler.DecisionRequest{Approve: true, Digest: request.Digest, Notes: request.Notes})
}

// summaryOfRollback says what a rollback is.
const summaryOfRollback = "put the agent's previous Dockerfile back"

// change makes and approves a proposal of a person's own.
func (d *Desk) change(by, bottle string, wish queue.Proposal, request reconciler.DecisionRequest) (id string, err error) {
	if by, err = nameOf(by); err != nil {
		return "", err
	}
	d.deciding.Lock()
	defer d.deciding.Unlock()
	now := d.now()
	wish.ID, wish.Bottle, wish.Created, wish.Justification = queue.NewID(now), bottle, now, request.Notes
	p := newProposal(bottle, wish, now)
	if err := checkRequest(p, request); err != nil {
		return "", err
	}
	x := &decision{Bottle: bottle, Proposal: wish, Own: true, Decision: reconciler.Decision{By: by, Time: now, Notes: request.Notes}}
	if err := d.approve(x, request); err != nil {
		return "", err
	}
	if x.Change == nil {
		return "", refuse("bottle %s has that already: nothing has to be changed", bottle)
	}
	p.expires = now
	return wish.ID, d.accept(p, x)
}
