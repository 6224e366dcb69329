package service

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// propose queues proposals of a bottle's agent, and a file that is none.
func propose(t *testing.T, s *Service, bottle string, n int) {
	t.Helper()
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	dir := settings.QueueDir(bottle)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+"/x", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p := queue.Proposal{Bottle: bottle, Tool: queue.PipelockBlock, Justification: "why", Payload: fmt.Sprintf("https://h%d.test/", i)}
		if _, err := q.Submit(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDescribe gathers what the controller, the record, the queue and the audit log have.
func TestDescribe(t *testing.T) {
	s := socketService(t)
	s.Settings.SubnetPool = state.DefaultPool.String()
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("one", "Ready", ""), apitest.Bottle("new", "Failed", "no image")))
	for id := range uint64(2 * describedEvents) {
		source.Record(reconciler.Event{ID: id + 1, Bottle: "one"})
	}
	defer serve(t, s, source)()
	nets := declare(t, s, "one", "a.test")
	propose(t, s, "one", describedProposals+1)
	queued, err := s.queuedProposals()
	if err != nil {
		t.Fatal(err)
	}
	var reviews []reconciler.Review
	for _, p := range queued.Proposals {
		reviews = append(reviews, reconciler.Review{Proposal: p})
	}
	answered, other := reviews[0], reviews[0]
	answered.State, other.Bottle = reconciler.ProposalAnswered, "two"
	source.SetProposals(append(reviews, answered, other)...)
	var denials []string
	for i := range 3 * describedDenials {
		denials = append(denials, fmt.Sprintf(`{"time":"2026-01-01T00:00:00Z","kind":"egress","action":"deny","code":"host_not_allowed","host":"h%d.test","port":443,"count":%d}`, i, i+1))
	}
	writeAudit(t, s, "one", denials...)
	d, err := s.Describe(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if d.Status.Slug != "one" || len(d.Spec.Egress.Allowlist) != 1 || len(d.Networks) != 2 || d.Networks[0].Subnet != nets.Internal || !d.Networks[0].Internal {
		t.Errorf("declared: %+v", d)
	}
	if len(d.Limits) != 1 || d.Limits[0].Component != state.Pipelock || d.Limits[0].Memory != 256<<20 {
		t.Errorf("limits: %+v", d.Limits)
	}
	if n := len(d.Waiting); n != describedProposals || d.Waiting[0].Summary != "allow h0.test:443" || time.Since(d.Waiting[0].Asked) > time.Hour {
		t.Errorf("%d proposals: %+v", n, d.Waiting)
	}
	if n := len(d.Denied); n != describedDenials || d.Denied[0].Entry != "h29.test" || d.Denied[0].Count != 30 {
		t.Errorf("%d denials: %+v", n, d.Denied)
	}
	if n := len(d.Events); n != describedEvents || d.Events[n-1].ID != 2*describedEvents {
		t.Errorf("%d events: %+v", n, d.Events)
	}
	if len(d.Warnings) != 1 || d.Warnings[0] != "1 more proposal not shown here: bottled proposals one" {
		t.Errorf("warnings: %q", d.Warnings)
	}
	if d, err := s.Describe(t.Context(), "new"); err != nil || d.Manifest != "" || len(d.Warnings) > 0 || len(d.Networks) > 0 {
		t.Errorf("of a bottle that never ran: %+v, %v", d, err)
	}
	if _, err := s.Describe(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), `there is no bottle "none"`) {
		t.Errorf("of none: %v", err)
	}
}
