package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovalTime measures how long it takes from an approval to the agent's answer, with pipelock's reload.
func TestApprovalTime(t *testing.T) {
	if !nightly() {
		t.Skip("it measures, and checks nothing that TestApprovals does not: BOTTLED_TEST_NIGHTLY=1, or task test:nightly")
	}
	const n = 20
	a, _ := newAsking(t, "")
	var whole, inside []time.Duration
	for i := range n {
		host := fmt.Sprintf("h%d.demo.example", i)
		c := a.askHost(host)
		p := a.waits(host)
		began := time.Now()
		a.Expect(exitDone, "approve", p.ID, "--yes")
		a.answered(c, queue.Approved)
		whole = append(whole, c.took.Sub(began))
		inside = append(inside, a.answerTime(p))
	}
	a.sameContainers()
	slices.Sort(whole)
	slices.Sort(inside)
	t.Logf("%d approvals: from the decision to supervise's answer: median %s, longest %s; from starting bottled approve to the end of the agent's docker exec: median %s, longest %s",
		n, inside[n/2], inside[n-1], whole[n/2], whole[n-1])
	if inside[n/2] > time.Second {
		t.Error("the median is above a second")
	}
}

// answerTime is the time between a decision and its delivery to the agent, as the audit log has them.
func (a *asking) answerTime(p reconciler.Proposal) (d time.Duration) {
	a.t.Helper()
	a.Eventually(wellWithin, "the audit log has the delivery of "+p.ID, func() (bool, string) {
		data, err := os.ReadFile(filepath.Join(a.StateDir, "audit", "one.jsonl"))
		if err != nil {
			a.t.Fatal(err)
		}
		var decided, delivered time.Time
		for line := range strings.Lines(string(data)) {
			var r struct {
				Kind, Action, Proposal, ID string
				Time, Logged               time.Time
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				a.t.Fatalf("%s: %v", line, err)
			}
			switch {
			case r.Kind == "decision" && r.Proposal == p.ID:
				decided = r.Time
			case r.Kind == "proposal" && r.Action == "answered" && r.ID == p.ID:
				delivered = r.Logged
			}
		}
		d = delivered.Sub(decided)
		return !decided.IsZero() && !delivered.IsZero(), string(data)
	})
	return d
}
