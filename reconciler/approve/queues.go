package approve

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/manifests/approval"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
	"github.com/bot-bottle/bottled/state/queue"
)

// announcePause is the pause between two new proposals of one bottle from which each is announced.
const announcePause = time.Second

// maxShown limits an agent's words in a log line or event, in bytes.
const maxShown = 200

// scanAll lists every bottle's queue.
func (d *Desk) scanAll() {
	entries, err := os.ReadDir(d.Settings.QueueDir(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Log.Error().Err(err).Msg("can't list the proposals' queues")
		return
	}
	found := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() {
			found[e.Name()] = true
			d.scan(e.Name())
		}
	}
	d.mu.Lock()
	var gone []string
	for _, p := range d.proposals {
		if !found[p.bottle] && !slices.Contains(gone, p.bottle) {
			gone = append(gone, p.bottle)
		}
	}
	d.mu.Unlock()
	for _, bottle := range gone {
		d.take(bottle, nil)
	}
}

// scan lists the queue of one bottle and takes note of what is new and what is gone. A queue outlives its bottle, and then nobody waits.
func (d *Desk) scan(bottle string) {
	if !d.bottles.Known(bottle) {
		d.take(bottle, nil)
		return
	}
	entries, err := d.list(bottle)
	d.logProblem(bottle, err)
	if err != nil {
		return
	}
	waiting := entries[:0]
	for _, e := range entries {
		if e.Answer == nil && len(waiting) < maxWaiting {
			waiting = append(waiting, e)
		}
	}
	d.take(bottle, waiting)
}

// list returns what is in the queue of a bottle. What can't be read there is no proposal.
func (d *Desk) list(bottle string) (entries []queue.Entry, err error) {
	q, err := queue.Open(d.Settings.QueueDir(bottle))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	entries, _, err = q.List()
	return entries, err
}

// logProblem logs why a queue can't be read, once as long as it stays the same.
func (d *Desk) logProblem(bottle string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != d.problems[bottle] && err != nil {
		d.Log.Warn().Str("bottle", bottle).Err(err).Msg("can't read the proposals' queue")
	}
	if d.problems[bottle] = text; err == nil {
		delete(d.problems, bottle)
	}
}

// take makes a bottle's unanswered entries its waiting proposals.
func (d *Desk) take(bottle string, entries []queue.Entry) {
	decl, _ := d.bottles.Declaration(bottle)
	expireAfter := approval.ExpireAfter(decl.Bottle, decl.Policy)
	var ruled []func()
	var fresh []*proposal
	var replaced []string
	now, there, changed := time.Now(), map[string]bool{}, false
	d.mu.Lock()
	for _, e := range entries {
		id := e.Proposal.ID
		there[id] = true
		p := d.proposals[id]
		switch {
		case p == nil && d.isAnswered(id): // its answer could not be delivered
		case p == nil && d.left[bottle].isOther(e.Proposal):
			replaced = append(replaced, id)
		case p == nil:
			p = newProposal(bottle, e.Proposal, now)
			d.proposals[id] = p
			fresh = append(fresh, p)
		case p.Proposal != e.Proposal && p.message != messageReplaced:
			p.message, changed = messageReplaced, true
			replaced = append(replaced, id)
		}
		if p != nil {
			p.expires = p.asked.Add(expireAfter)
			if rule, found := ruleFor(p, decl); found {
				ruled = append(ruled, func() { d.decideByRule(p, rule) })
			}
		}
	}
	for id, p := range d.proposals {
		if p.bottle == bottle && p.decision == nil && !there[id] {
			delete(d.proposals, id)
			d.left[bottle] = d.left[bottle].with(p.Proposal)
			changed = true
		}
	}
	d.mu.Unlock()
	for _, id := range replaced {
		if d.limiter(bottle).Allow() {
			d.Log.Warn().Str("bottle", bottle).Str("proposal", id).Msg("something in the bottle has changed the proposal's file; what it says now does not count")
		}
	}
	for _, p := range fresh {
		d.announce(p)
	}
	if changed || len(fresh) > 0 {
		d.onChange()
	}
	for _, decide := range ruled {
		decide()
	}
}

// maxLeft limits the proposals of one bottle that are remembered after they were gone from its queue.
const maxLeft = 256

// departed are the proposals that left a queue, the oldest first. None comes back as another one under its ID.
type departed []departure

type departure struct {
	id  string
	sum [sha256.Size]byte
}

func departureOf(p queue.Proposal) departure {
	return departure{p.ID, sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s", p.Tool, p.Payload, p.Justification, p.Created))}
}

func (all departed) with(p queue.Proposal) departed {
	if all = append(all, departureOf(p)); len(all) > maxLeft {
		all = slices.Clone(all[1:])
	}
	return all
}

func (all departed) isOther(p queue.Proposal) bool {
	return slices.ContainsFunc(all, func(was departure) bool { return was.id == p.ID && was != departureOf(p) })
}

// messageReplaced is the message of a proposal whose file is another one than at first.
const messageReplaced = "its file was changed in the queue; it is shown as it was first seen"

// newProposal makes a proposal of what was read of a queue. The bottle is the queue's, whatever the text says, and nothing is asked in the
// future, where it would never expire.
func newProposal(bottle string, q queue.Proposal, now time.Time) *proposal {
	p := &proposal{Proposal: q, bottle: bottle, asked: q.Created, summary: Summarize(q)}
	if p.asked.After(now) {
		p.asked = now
	}
	return p
}

// isAnswered reports whether a proposal was answered since the controller started. d.mu is held.
func (d *Desk) isAnswered(id string) bool {
	return slices.ContainsFunc(d.answered, func(p reconciler.Proposal) bool { return p.ID == id })
}

// announce logs a new proposal and records it as an event. A bottle that makes proposals faster than an intact supervise lets through is
// not announced each time.
func (d *Desk) announce(p *proposal) {
	if !d.limiter(p.bottle).Allow() {
		return
	}
	d.Log.Info().Str("bottle", p.bottle).Str("proposal", p.ID).Str("tool", string(p.Tool)).Str("asks", p.summary).
		Str("because", shorten(p.Justification)).Msg("an agent asks for something")
	d.bottles.Record(reconciler.Event{
		Bottle: p.bottle, Reason: reconciler.EventProposalNew, Message: fmt.Sprintf("%s: the agent asks to %s", p.ID, p.summary),
	})
}

// limiter limits what is said of a bottle's proposals.
func (d *Desk) limiter(bottle string) *rate.Limiter {
	if d.announced[bottle] == nil {
		d.announced[bottle] = rate.NewLimiter(rate.Every(announcePause), maxWaiting)
	}
	return d.announced[bottle]
}

// shorten makes an agent's words one printable line of limited size.
func shorten(text string) string {
	text = printable.Line(strings.Join(strings.Fields(text), " "))
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return text
}
