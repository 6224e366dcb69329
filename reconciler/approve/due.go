package approve

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// due returns when something has to be done about a waiting proposal.
func (p *proposal) due() time.Time {
	if p.notBefore.After(p.expires) {
		return p.notBefore
	}
	return p.expires
}

// decideDue ends the proposals whose time is over.
func (d *Desk) decideDue() {
	d.mu.Lock()
	var expired []*proposal
	for _, p := range d.proposals {
		if p.decision == nil && !p.due().After(time.Now()) {
			expired = append(expired, p)
		}
	}
	d.mu.Unlock()
	for _, p := range expired {
		d.expire(p)
	}
}

// expire answers that nobody has decided.
func (d *Desk) expire(p *proposal) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if _, err := d.find(p.ID); err != nil {
		return // somebody was faster
	}
	err := d.accept(p, &decision{
		Bottle: p.bottle, Proposal: p.Proposal, Phase: phaseAnswer,
		Decision: reconciler.Decision{Status: queue.Expired, By: byClock, Time: d.now(), Notes: "Nobody has decided within " + p.expires.Sub(p.asked).String() + "."},
	})
	if err != nil {
		d.Log.Error().Str("bottle", p.bottle).Str("proposal", p.ID).Err(err).Msg("a proposal can't be ended; it is tried again")
		d.mu.Lock()
		defer d.mu.Unlock()
		p.notBefore = time.Now().Add(lastRetry)
	}
}
