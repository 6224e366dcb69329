package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// review is the view of what an agent asks for. What is decided about is what it shows: a decision has the digest of it.
type review struct {
	window
	id      string
	then    string // the key to take once it is shown
	content *reconciler.Review
	err     error
	state   string // of the proposal when the content was read
	loading bool
}

// reviewed is the message with the content of a review.
type reviewed struct {
	id      string
	content reconciler.Review
	err     error
}

// hour is how long the key h allows a host.
const hour = time.Hour

func (m *Model) openReview(id, then string) tea.Cmd {
	if then == "enter" { // only a look
		then = ""
	}
	m.review = &review{id: id, then: then}
	return m.loadReview()
}

func (m *Model) loadReview() tea.Cmd {
	r := m.review
	r.loading, r.state = true, progressOf(m.proposal(r.id))
	return func() tea.Msg {
		content, err := m.backend.Review(m.ctx, r.id)
		return reviewed{r.id, content, err}
	}
}

// proposal is one of those that are known now; nil when it is gone.
func (m *Model) proposal(id string) *reconciler.Proposal {
	for i := range m.snapshot.Proposals {
		if m.snapshot.Proposals[i].ID == id {
			return &m.snapshot.Proposals[i]
		}
	}
	return nil
}

func progressOf(p *reconciler.Proposal) string {
	if p == nil {
		return "gone"
	}
	return string(p.State) + p.Message
}

// refreshReview reads the review anew when its proposal has changed.
func (m *Model) refreshReview() tea.Cmd {
	if m.review == nil || m.review.loading || progressOf(m.proposal(m.review.id)) == m.review.state {
		return nil
	}
	return m.loadReview()
}

func (m *Model) takeReview(msg reviewed) tea.Cmd {
	r := m.review
	if r == nil || r.id != msg.id {
		return nil
	}
	r.loading = false
	if msg.err != nil {
		if r.content == nil || m.proposal(r.id) == nil {
			r.err = msg.err
		}
		return nil
	}
	changed := r.content != nil && r.content.Digest != msg.content.Digest
	r.content, r.err = &msg.content, nil
	if changed && m.dialog != nil { // what was asked about is not what is shown any more
		m.dialog, m.notice = nil, notice{"what would change is another now: look again", true}
	}
	then := r.then
	r.then = ""
	return m.decide(then)
}

func (r *review) lines(m *Model, height int) []line {
	switch {
	case r.err != nil:
		return reported([]report.Line{{Text: report.OneLine(r.err), Bad: true, Wrap: true}}, m.width)
	case r.content == nil:
		return []line{text(dim, "reading what would change …")}
	}
	return r.page(reported(report.Review(*r.content, "", m.now()), m.width), height)
}

func (m *Model) reviewKeys() []key {
	keys := []key{{"j k", "scroll"}, {"esc", "back"}}
	if p := m.proposal(m.review.id); p != nil && p.State == reconciler.ProposalWaiting && !m.readOnly() {
		decide := []key{{"a", "approve"}, {"e", "edit"}, {"r", "reject"}}
		if p.Tool == queue.PipelockBlock {
			decide = slices.Insert(decide, 1, key{"h", "for 1 h"})
		}
		keys = append(decide, keys...)
	}
	return keys
}

func (m *Model) pressReview(k string) tea.Cmd {
	switch k {
	case "esc", "q", "left":
		m.review = nil
		return nil
	case "a", "h", "e", "r":
		return m.decide(k)
	}
	m.review.move(k, 1<<20, m.height-3)
	return nil
}

// decide asks for what a decision needs, if one can be made.
func (m *Model) decide(k string) tea.Cmd {
	r := m.review.content
	if r == nil || k == "" {
		return nil
	}
	id := report.RandomPart(r.ID)
	refuse := func(format string, args ...any) tea.Cmd {
		m.notice = notice{fmt.Sprintf(format, args...), true}
		return nil
	}
	switch {
	case m.readOnly():
		return refuse("no controller runs, so nothing can be decided: start one with bottled reconcile DIR…")
	case r.State != reconciler.ProposalWaiting:
		return refuse("it does not wait any more: %s", report.ProposalState(r.Proposal))
	case k == "r":
		m.ask("note for the agent: ", "", text(strong, fmt.Sprintf("Reject what %s asks for? enter rejects, esc goes back.", r.Bottle))).accepted = func(note string) tea.Cmd {
			return m.send(*r, reconciler.DecisionRequest{Notes: note})
		}
	case k == "e":
		return m.run(0, "approve", "--edit", "--no-wait", "--digest="+r.Digest, r.ID)
	case r.Blocked != "":
		return refuse("it can't be approved: %s", r.Blocked)
	case k == "h" && r.Tool != queue.PipelockBlock:
		return refuse("only hosts can be allowed for a time; %s is of %s", id, r.Tool)
	case len(r.Dangers) > 0:
		m.choose([]line{text(bad, "danger: "+strings.Join(r.Dangers, "; "))}, []key{{"Y", "approve all the same"}}, map[string]func() tea.Cmd{
			"Y": func() tea.Cmd { return m.approve(*r, k) },
		})
	default:
		return m.approve(*r, k)
	}
	return nil
}

// approve asks for the note of an approval. A secret is typed into a command of its own, where nothing of it is kept or shown.
func (m *Model) approve(r reconciler.Review, k string) tea.Cmd {
	if r.Tool == queue.SecretRequest {
		arguments := []string{"approve", "--yes", "--no-wait", "--digest=" + r.Digest}
		if len(r.Dangers) > 0 {
			arguments = append(arguments, "--allow-new-upstream")
		}
		return m.run(0, append(arguments, r.ID)...)
	}
	decision := reconciler.DecisionRequest{Approve: true, Digest: r.Digest, AllowNewUpstream: len(r.Dangers) > 0}
	limit := ""
	if k == "h" {
		decision.For = hour
		limit = " for one hour, until " + m.now().Add(hour).Format(time.TimeOnly)
	}
	above := []line{
		text(strong, fmt.Sprintf("Approve for %s%s? enter approves, esc goes back.", r.Bottle, limit)),
		text(plain, "| "+report.Short(report.Flat(r.Summary))),
	}
	m.ask("note for the agent: ", "", above...).accepted = func(note string) tea.Cmd {
		decision.Notes = note
		return m.send(r, decision)
	}
	return nil
}

// send makes a decision, and goes back to what waits.
func (m *Model) send(r reconciler.Review, decision reconciler.DecisionRequest) tea.Cmd {
	m.review = nil
	m.notice = notice{text: fmt.Sprintf("%s: %s …", r.Bottle, report.RandomPart(r.ID))}
	return func() tea.Msg {
		said, err := m.backend.Decide(m.ctx, r.ID, decision)
		return done{said, err}
	}
}
