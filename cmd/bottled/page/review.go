package page

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

const (
	// reviewLasts is how long a review is shown before it is made anew: it asks the engine.
	reviewLasts = 10 * time.Second
	// maxReviewed is how many proposals of the inbox are shown with what they would change; the others are one step away.
	maxReviewed = 5
	maxCards    = 100
	// reviewsTimeout limits how long the reviews of an inbox may take.
	reviewsTimeout = 3 * time.Second
)

// reviewCache keeps reviews for a moment: several people may look, and often.
type reviewCache struct {
	mu  sync.Mutex
	all map[string]cachedReview
}

type cachedReview struct {
	at     time.Time
	state  reconciler.ProposalState
	review reconciler.Review
	err    error
}

// get returns the review of a proposal.
func (c *reviewCache) get(ctx context.Context, from Controller, p reconciler.Proposal) (reconciler.Review, error) {
	c.mu.Lock()
	found, ok := c.all[p.ID]
	c.mu.Unlock()
	if ok && found.state == p.State && time.Since(found.at) < reviewLasts {
		return found.review, found.err
	}
	r, err := from.Review(ctx, p.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) > 4*maxReviewed {
		c.all = map[string]cachedReview{}
	}
	c.all[p.ID] = cachedReview{time.Now(), p.State, r, err}
	return r, err
}

func (c *reviewCache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, id)
}

// inbox returns what agents ask for.
func (p *Page) inbox(ctx context.Context, now overview.Snapshot, s *Session) []piece {
	ctx, cancel := context.WithTimeout(ctx, reviewsTimeout) // of all together: an engine that hangs must not stop the page
	defer cancel()
	var all []piece
	waiting := now.Inbox()
	for i, one := range waiting[:min(len(waiting), maxCards)] {
		c := card{ID: elementID("p", one.ID), Review: reconciler.Review{Proposal: one}, State: report.ProposalState(one), Heading: 3, Token: s.Token, ReadOnly: s.ReadOnly}
		if i < maxReviewed && one.State == reconciler.ProposalWaiting {
			p.addReview(ctx, &c)
		}
		all = append(all, piece{c.ID, "card", c})
	}
	if len(all) == 0 {
		all = append(all, piece{"p-none", "empty-inbox", nil})
	}
	return all
}

// addReview adds to a card what an approval would change.
func (p *Page) addReview(ctx context.Context, c *card) {
	review, err := p.reviews.get(ctx, p.Controller, c.Review.Proposal)
	if err != nil {
		c.Problem = "what an approval would change is not known: " + err.Error()
		return
	}
	message := c.Review.Message
	c.Review, c.Reviewed = review, true
	c.Review.Message = message
	c.CRLF = strings.Contains(review.Edited, "\r\n")
}

// proposalView is the page of a proposal.
type proposalView struct {
	frame
	Card card
}

// proposal shows one proposal.
func (p *Page) proposal(w http.ResponseWriter, r *http.Request, s *Session) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	review, err := p.Controller.Review(ctx, r.PathValue("id"))
	if err != nil {
		p.fail(w, codeOf(err), s, "Not found", err.Error())
		return
	}
	c := card{
		ID: elementID("p", review.ID), Review: review, State: report.ProposalState(review.Proposal), Reviewed: true, Heading: 1, Token: s.Token, ReadOnly: s.ReadOnly,
		CRLF: strings.Contains(review.Edited, "\r\n"), Editing: r.URL.Query().Get("edit") != "",
	}
	if c.Editing && !showable(review.Edited) {
		c.Editing, c.Problem = false, "the file has characters that can't be shown, so it can't be edited here; use bottled approve --edit"
	}
	p.show(w, http.StatusOK, "proposal.html", proposalView{
		frame: frame{Title: review.Summary, Session: s, Live: "/live?page=proposal&id=" + review.ID}, Card: c,
	})
}
