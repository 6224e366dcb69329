package screen

import (
	"errors"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// asked is a screen at the review of a proposal.
func asked(t *testing.T, change func(*reconciler.Review)) *screen {
	t.Helper()
	s := newScreen(t, 100, 30)
	s.backend.review = hostReview()
	change(&s.backend.review)
	u := sample()
	u.Proposals.Proposals[0] = s.backend.review.Proposal
	s.send(u)
	s.run(s.openReview(s.backend.review.ID, ""))
	s.did("review 20261127-k3x9abcdefgh")
	return s
}

// TestDecisions has every way to decide about what an agent asks for: nothing is decided before enter, nor about what was not shown.
func TestDecisions(t *testing.T) {
	id := hostProposal().ID
	as := func(change func(*reconciler.Review)) func(*reconciler.Review) { return change }
	host := as(func(*reconciler.Review) {})
	dangerous := as(func(r *reconciler.Review) {
		r.Tool, r.Dangers = queue.CredProxyBlock, []string{"the token goes to a new upstream"}
	})
	for name, c := range map[string]struct {
		of   func(*reconciler.Review)
		keys string
		did  []string
		says string
	}{
		"approve":                       {host, "a type:ok enter", []string{"decide " + id + ` approve=true digest=d1 for=0s notes="ok" new=false`}, "carried out"},
		"approve for an hour":           {host, "h enter", []string{"decide " + id + ` approve=true digest=d1 for=1h0m0s notes="" new=false`}, "carried out"},
		"reject":                        {host, "r type:no! enter", []string{"decide " + id + ` approve=false digest= for=0s notes="no!" new=false`}, "carried out"},
		"edit":                          {host, "e", []string{"bottled approve --edit --no-wait --digest=d1 " + id}, ""},
		"think better of it":            {host, "a esc", nil, "a approve"},
		"leave the note":                {host, "r type:quit esc", nil, "a approve"},
		"a danger":                      {dangerous, "a", nil, "danger: the token goes to a new upstream"},
		"a danger is not passed":        {dangerous, "a enter y a", nil, "approve all the same"},
		"a danger that is meant":        {dangerous, "a Y enter", []string{"decide " + id + ` approve=true digest=d1 for=0s notes="" new=true`}, "carried out"},
		"only hosts for a time":         {dangerous, "h", nil, "only hosts can be allowed for a time"},
		"a secret":                      {as(func(r *reconciler.Review) { r.Tool = queue.SecretRequest }), "a", []string{"bottled approve --yes --no-wait --digest=d1 " + id}, ""},
		"a secret for another upstream": {as(func(r *reconciler.Review) { r.Tool, r.Dangers = queue.SecretRequest, []string{"new"} }), "a Y", []string{"bottled approve --yes --no-wait --digest=d1 --allow-new-upstream " + id}, ""},
		"blocked":                       {as(func(r *reconciler.Review) { r.Blocked = "the directory is read-only" }), "a", nil, "it can't be approved: the directory is read-only"},
		"decided already": {as(func(r *reconciler.Review) {
			r.State, r.Decision = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Rejected, By: "bob"}
		}), "a", nil, "it does not wait any more: rejected by bob"},
	} {
		t.Run(name, func(t *testing.T) {
			s := asked(t, c.of)
			s.press(c.keys)
			s.did(c.did...)
			s.shows(c.says)
		})
	}
}

// TestDecisionFails: why a decision is not in force is shown until the next key.
func TestDecisionFails(t *testing.T) {
	s := asked(t, func(*reconciler.Review) {})
	s.backend.err = errors.New("the file has changed")
	s.press("a enter")
	s.shows("the file has changed")
	s.press("j")
	s.lacks("the file has changed")
}

// TestReviewChanges: what changes while somebody thinks is not what he approves.
func TestReviewChanges(t *testing.T) {
	s := asked(t, func(*reconciler.Review) {})
	s.press("a")
	s.backend.review.Digest, s.backend.review.Message = "d2", "waits again: the file was changed"
	changed := s.backend.review.Proposal
	s.send(Update{Proposals: &service.Proposals{Proposals: []reconciler.Proposal{changed}}})
	s.did("review " + changed.ID)
	s.shows("what would change is another now")
	s.press("enter")
	s.did()
	s.press("a enter")
	s.did("decide " + changed.ID + ` approve=true digest=d2 for=0s notes="" new=false`)
}

// TestSwitches: what loses something is asked for, and says what.
func TestSwitches(t *testing.T) {
	for _, c := range []struct{ keys, says, did string }{
		{"S", "what it has in memory is lost", ""},
		{"S n esc", "", ""},
		{"S y", "carried out", "suspend api"},
		{"R y", "carried out", "restart api"},
		{"X", "open connections break off", ""},
		{"X enter", "open connections break off", ""},
		{"X y", "carried out", "cut api"},
		{"U", "carried out", "resume api"},
		{"s enter", "", "bottled exec api -- sh -c command -v bash >/dev/null && exec bash; exec sh"},
		{"s r", "", "bottled run api"},
		{"s t", "", "bottled attach api"},
	} {
		s := newScreen(t, 100, 30)
		s.send(sample())
		s.fleet.selected = "bottle api"
		s.press(c.keys)
		s.shows(c.says)
		if c.did == "" {
			s.did()
		} else {
			s.did(c.did)
		}
	}
	s := newScreen(t, 100, 30)
	s.send(sample())
	s.fleet.selected = "bottle importer" // its agent does not run
	s.press("s")
	s.lacks("beside the agent")
	s.press("enter")
	s.did("bottled run importer")
}

// TestAllow: a denied host is allowed by the same keys as a proposal; what the allowlist can't help is not.
func TestAllow(t *testing.T) {
	for _, c := range []struct{ keys, did, says string }{
		{"a type:tests enter", `allow web registry.npmjs.org:443 for=0s notes="tests"`, "carried out"},
		{"h enter", `allow web registry.npmjs.org:443 for=1h0m0s notes=""`, "carried out"},
		{"a esc", "", "a allow this host"},
		{"j a", "", "the allowlist would not change this"},
		{"j j a", "", "the allowlist would not change this"}, // it is allowed
		{"j j j a enter", `allow web evil.example:8443 for=0s notes=""`, "carried out"},
		{"G a enter", `allow web evil.example:8443 for=0s notes=""`, "carried out"},
	} {
		s := opened(t, 100, 30)
		s.press("4 " + c.keys)
		s.shows(c.says)
		if c.did == "" {
			s.did()
		} else {
			s.did(c.did)
		}
	}
}

// TestReadOnly: without a controller everything is shown, and nothing can be changed.
func TestReadOnly(t *testing.T) {
	u := sample()
	u.Status.Controller = nil
	s := newScreen(t, 100, 30)
	s.backend.review = hostReview()
	s.send(u)
	s.shows("no controller runs: this is the engine's status, read-only")
	s.send(tea.WindowSizeMsg{Width: 200, Height: 30})
	s.shows("–  1.52  812M/2G      –") // the engine measures, and nobody counts requests
	s.press("a")
	s.shows("nothing can be decided")
	s.did("review 20261127-k3x9abcdefgh")
	s.press("esc")
	s.fleet.selected = "bottle api"
	for _, k := range []string{"S", "R", "U", "X"} {
		s.press(k)
		s.shows("no controller runs that takes orders")
	}
	s.did()
	s.send(sample()) // it is back
	s.lacks("read-only")
}

// TestNavigation: one selection goes through all, and stays with what it is on.
func TestNavigation(t *testing.T) {
	s := newScreen(t, 100, 30)
	s.send(sample())
	for _, step := range []struct{ keys, selected string }{
		{"", "proposal 20261127-k3x9abcdefgh"},
		{"tab", "bottle web"},
		{"tab", "proposal 20261127-k3x9abcdefgh"},
		{"j j", "bottle web"},
		{"G", "bottle parked"},
		{"k", "bottle nightly"},
		{"g", "proposal 20261127-k3x9abcdefgh"},
		{"down pgdown pgdown", "bottle parked"},
		{"k o", "bottle nightly"},
	} {
		s.press(step.keys)
		if s.frame(); s.fleet.selected != step.selected {
			t.Errorf("%q selects %s, want %s", step.keys, s.fleet.selected, step.selected)
		}
	}
	s.shows("order: name")
	u := sample()
	u.Status.Bottles = append([]reconciler.BottleStatus{ready("aaa", time.Hour)}, u.Status.Bottles...)
	s.send(u)
	if s.frame(); s.fleet.selected != "bottle nightly" {
		t.Errorf("a new bottle moves the selection to %s", s.fleet.selected)
	}
	u.Status.Bottles = u.Status.Bottles[:5]
	s.send(u)
	s.shows("▸ ✖ looping") // where it was
	s.press("q")
	s.did("quit")
}

// TestFilter filters while somebody types, and esc takes one step back at a time.
func TestFilter(t *testing.T) {
	s := newScreen(t, 100, 30)
	s.send(sample())
	s.press("/ type:team=ops")
	s.shows("nightly")
	s.lacks("importer")
	if v := s.View(); v.Cursor == nil || v.Cursor.X != len("/team=ops") || v.Cursor.Y != 29 {
		t.Errorf("the cursor is at %+v", v.Cursor)
	}
	s.press("enter f")
	s.shows("nightly") // what is filtered is not folded
	s.press("esc")
	s.lacks("nightly")
	s.shows("… 3 more bottles")
	s.press("f / type:none esc")
	s.shows("importer")
	s.press("/")
	s.send(tea.PasteMsg{Content: "loop\ning"})
	s.press("enter")
	s.shows("looping")
	s.lacks("importer")
	s.press("/ type:nowhere enter")
	s.shows("no bottle has this")
}

// TestBell rings for what is asked anew, and for nothing else.
func TestBell(t *testing.T) {
	s := newScreen(t, 100, 30)
	s.send(sample())
	s.did()
	more := sample()
	p := hostProposal()
	p.ID = "20261127-anew"
	more.Proposals.Proposals = append(more.Proposals.Proposals, p)
	s.send(Update{Proposals: more.Proposals})
	s.did("bell")
	s.send(Update{Proposals: more.Proposals})
	s.send(Update{Proposals: sample().Proposals})
	s.did()
}

// TestTabs: what is of the bottle that was left is not shown, and logs are read at the first look.
func TestTabs(t *testing.T) {
	s := opened(t, 100, 30)
	s.press("tab tab")
	s.did("logs of web")
	s.shows("npm ERR! network request failed")
	s.press("w")
	s.shows("agent       | npm ERR!")
	s.press("1 3")
	s.did()
	left := s.bottle.ctx
	s.press("esc")
	if left.Err() == nil {
		t.Error("the bottle that was left is followed")
	}
	s.fleet.selected = "bottle api"
	s.press("enter")
	s.send(Update{Bottle: "web", Events: []reconciler.Event{{Reason: "Late"}}})
	s.press("2")
	s.shows("no events yet")
	u := sample()
	u.Status.Bottles = u.Status.Bottles[1:]
	s.send(u)
	s.shows("api is gone")
}

// TestStale: why something is not up to date is shown until it is.
func TestStale(t *testing.T) {
	s := newScreen(t, 100, 30)
	s.shows("connecting …")
	s.send(sample())
	s.send(Update{Stale: "the controller has been silent for 45s"})
	s.shows("not up to date: the controller has been silent for 45s")
	s.send(sample())
	s.lacks("not up to date")
	s.send(Update{Status: &reconciler.Status{Controller: &reconciler.ControllerStatus{Syncs: 1, Engine: reconciler.EngineStatus{Since: ago(time.Minute), Error: "connection refused"}, Problems: []string{"a.yaml: one", "a.yaml: two"}}}})
	s.shows("engine unreachable for 1m: connection refused")
	s.shows("… and 2 more: bottled status")
	s.shows("no bottles: bottled init")
	s.send(Update{Proposals: &service.Proposals{Warnings: []string{"a queue can't be read", "another one"}}})
	s.shows("warning: a queue can't be read; another one")
	s = newScreen(t, 100, 30)
	s.backend.description = Description{Warnings: []string{"the audit log can't be read"}}
	s.send(sample())
	s.press("tab enter")
	s.shows("warning: the audit log can't be read")
	s.backend.err = errors.New("the record is gone")
	s.run(s.bottle.describe(s.Model))
	s.shows("the record is gone")
}
