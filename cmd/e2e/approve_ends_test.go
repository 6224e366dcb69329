package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovalsEnd: a rule approves by itself, for as long as it says, and as often; a person's approval ends as well; and what nobody answers expires. The
// shortest of these times is a minute.
func TestApprovalsEnd(t *testing.T) {
	t.Parallel()
	a, _ := newAsking(t, `  approvals:
    expireAfter: 1m
    auto: [{tool: pipelock-block, hosts: ["*.auto.demo.example", auto.demo.example], for: 1m, max: 1}]
`)
	const byRule, byPerson, late = "auto.demo.example", "ask.demo.example", "late.demo.example"
	waiting := a.askHost(late)
	expiring := a.waits(late)

	a.answered(a.askHost(byRule), queue.Approved)
	a.reached(byRule)
	a.audited(a.proposal(byRule, reconciler.ProposalAnswered), "approved", "rule")
	second := a.askHost("second." + byRule)
	a.Expect(exitDone, "reject", a.waits("second."+byRule).ID, "--note", "no more") // as often as the rule says
	a.answered(second, queue.Rejected)

	c := a.askHost(byPerson)
	p := a.waits(byPerson)
	a.Expect(exitDone, "approve", p.ID, "--yes", "--for", "1m")
	approved := time.Now()
	if notes := a.answered(c, queue.Approved); !strings.Contains(notes, "allowed until ") {
		t.Errorf("the agent is told %q", notes)
	}
	if n := strings.Count(a.content(), "until: "); n != 2 {
		t.Errorf("%d ends in the manifest:\n%s", n, a.content())
	}
	stream := streaming(t, a.Env, "http://"+byPerson+"/stream")
	stream.flows(a.Env)
	a.sameContainers()

	<-waiting.done
	if !strings.Contains(string(waiting.out), `"pending"`) {
		t.Errorf("before the proposal expires its call returns:\n%s", waiting.out)
	}
	a.answered(a.askHost(late), queue.Expired)
	a.audited(expiring, "expired", "bottled")
	stream.ends(1)
	if ended := time.Since(approved); ended < 50*time.Second {
		t.Errorf("the stream ended %s after the approval", ended)
	}
	a.refused(byPerson)
	a.refused(byRule)
	a.sameContainers()
	a.Expect(exitDone, "audit", "--verify")
}
