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
