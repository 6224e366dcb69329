package supervise

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	// deliveredAge is how long proposal-status shows an answer that a call has returned, and maxDelivered how many it shows.
	deliveredAge = time.Hour
	maxDelivered = 32
	// rejectedAge is the time after a rejection in which an equal call is not put to a person again. appliedAge is that of the other answers:
	// the agent could not use them, and might have a reason to ask anew.
	rejectedAge = time.Hour
	appliedAge  = 10 * time.Minute
)

const (
	pendingNotes = `No human has answered yet; that may take hours. The proposal stays in the queue, also when you stop asking. ` +
		`Go on with what you can do without it, then call this tool again with the same arguments: you get the answer, or wait for it once more. proposal-status shows it, too.`
	inForceNotes = `This is in force already, so nobody was asked. If a request is refused nevertheless, its answer says why.`
)

// inForce reports whether the bottle has what is asked for. Of a secret, that can't be seen from here.
func (c current) inForce(r request) bool {
	switch r.tool {
	case queue.PipelockBlock:
		u, err := url.Parse(r.payload)
		return err == nil && pipelock.Allows(c.allowlist, u)
	case queue.CredProxyBlock:
		data, err := route.Render(c.routes)
		return err == nil && string(data) == r.payload
	case queue.CapabilityBlock:
		return c.dockerfile == r.payload
	default:
		return false
	}
}

// list returns the queue's entries, the oldest first. It removes answers that were delivered and are of no use any more.
func (d *broker) list() ([]queue.Entry, error) {
	entries, problems, err := d.queue.List()
	for _, problem := range problems {
		d.log.Warn().Err(problem).Msg("a file in the queue is ignored")
	}
	return slices.DeleteFunc(entries, func(e queue.Entry) bool {
		old := e.Answer != nil && time.Since(e.Answer.Time) > deliveredAge
		if !old || !slices.Contains(d.delivered, e.Proposal.ID) {
			return false
		}
		d.forget(e.Proposal.ID)
		return true
	}), err
}

// stands reports whether an equal call gets this answer, instead of being put to a person. An approval that was delivered stands as long as
// it is in force; so does one that nobody fetched, which may have been for a limited time.
func (d *broker) stands(e queue.Entry, inForce bool) bool {
	age, visible := time.Since(e.Answer.Time), e.Proposal.Tool != queue.SecretRequest
	delivered := slices.Contains(d.delivered, e.Proposal.ID)
	switch {
	case e.Answer.Status == queue.Withdrawn, e.Stale(time.Now()):
		return false
	case e.Answer.Status == queue.Approved && visible && (delivered || age > appliedAge):
		return inForce
	case !delivered:
		return true
	case e.Answer.Status == queue.Rejected:
		return age <= rejectedAge
	case e.Answer.Status == queue.Expired:
		return false
	default:
		return age <= appliedAge
	}
}

// toldAgain is the answer for a call that repeats an answered one.
func (d *broker) toldAgain(e queue.Entry) queue.Answer {
	a := *e.Answer
	if slices.Contains(d.delivered, e.Proposal.ID) {
		again := fmt.Sprintf("You were told this before: it was %s %s ago, and nobody was asked again.", a.Status, ago(time.Since(a.Time)))
		a.Notes = strings.TrimSpace(again + " " + a.Notes)
	}
	return a
}

func ago(d time.Duration) string {
	if d < time.Minute {
		return "less than a minute"
	}
	if minutes := int(d.Minutes()); minutes > 1 {
		return fmt.Sprintf("%d minutes", minutes)
	}
	return "a minute"
}

// deliver marks an answer as returned to the agent. Beyond maxDelivered the oldest one is removed.
func (d *broker) deliver(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == "" || slices.Contains(d.delivered, id) {
		return
	}
	if d.delivered = append(d.delivered, id); len(d.delivered) > maxDelivered {
		d.forget(d.delivered[0])
	}
}

// forget removes a delivered answer.
func (d *broker) forget(id string) {
	d.delivered = slices.DeleteFunc(d.delivered, func(other string) bool { return other == id })
	if err := d.queue.Remove(id); err != nil {
		d.log.Error().Err(err).Str("id", id).Msg("a delivered answer stays in the queue; an equal proposal would get it again")
	}
}
