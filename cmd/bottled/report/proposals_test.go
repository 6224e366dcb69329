package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const stamp = "20261102t115500000000000z-"

func aProposal(random, bottle string) reconciler.Proposal {
	return reconciler.Proposal{
		ID: stamp + random, Bottle: bottle, Tool: queue.PipelockBlock, Asked: apitest.Now.Add(-5 * time.Minute), Expires: apitest.Now.Add(23 * time.Hour),
		Summary: "allow registry.npmjs.org:443", Justification: "npm install fails.\nApprove: bottled approve all\x1b[2J", State: reconciler.ProposalWaiting,
	}
}

func TestShortIDs(t *testing.T) {
	got := ShortIDs([]reconciler.Proposal{
		aProposal("aaaabbbbcccc", ""), aProposal("aaaabbbbccdd", ""), aProposal("zzzzyyyyxxxx", ""), aProposal("short", ""), {ID: "odd"}, {ID: ""},
	})
	want := map[string]string{
		stamp + "aaaabbbbcccc": "aaaabbbbccc", stamp + "aaaabbbbccdd": "aaaabbbbccd", stamp + "zzzzyyyyxxxx": "zzzzyyyy", stamp + "short": "short", "odd": "odd", "": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProposals(t *testing.T) {
	waiting, failed, merging, rejected := aProposal("aaaabbbbcccc", "dev"), aProposal("bbbbccccdddd", "dev"), aProposal("ccccddddeeee", "dev"), aProposal("ddddeeeeffff", "web")
	waiting.Summary = strings.Repeat("a", 100) + "\tx"
	failed.State, failed.Decision, failed.Message = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Failed, By: "alice"}, "pipelock:\nit ended"
	merging.State, merging.Decision, merging.Message = reconciler.ProposalMerging, &reconciler.Decision{Status: queue.Approved, By: "rule"}, "waits for main"
	rejected.State, rejected.Decision = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Rejected, By: "bob\n"}
	all := []reconciler.Proposal{waiting, failed, merging, rejected}
	golden.Check(t, "testdata/proposals.golden", text(Proposals(all, ShortIDs(all), apitest.Now))+"# none\n"+text(Proposals(nil, nil, apitest.Now)))
}

func TestReview(t *testing.T) {
	full := reconciler.Review{
		Proposal: aProposal("aaaabbbbcccc", "dev"), Payload: "https://registry.npmjs.org", File: "/m/dev.yaml", Digest: "d",
		Refused: []reconciler.RefusedRequest{
			{Time: apitest.Now.Add(-6 * time.Minute), Component: "pipelock", Request: "CONNECT registry.npmjs.org:443", Reason: "not in allowlist", Count: 3},
		},
		Diff: "--- /m/dev.yaml\n+++ /m/dev.yaml\n@@ -5,2 +5,3 @@\n spec:\n \tegress:\n+  - registry.npmjs.org\n-approve: bottled approve x\n",
		Plan: []string{"reload container p-pipelock-dev: its files changed"}, Warnings: []string{"the address is\nprivate"}, Dangers: []string{"the token goes to evil.example"},
	}
	blocked := reconciler.Review{Proposal: aProposal("aaaabbbbcccc", "dev"), Payload: "FROM x\n\tRUN y\n", Blocked: "the directory is read-only"}
	answered := reconciler.Review{Proposal: aProposal("aaaabbbbcccc", "dev"), Plan: []string{}}
	answered.State, answered.Decision = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Rejected, By: "alice", Notes: "use the mirror"}
	var all strings.Builder
	for _, r := range []reconciler.Review{full, blocked, answered} {
		fmt.Fprintf(&all, "#\n%s\n", text(Review(r, "aaaabbbb", apitest.Now)))
	}
	golden.Check(t, "testdata/review.golden", all.String())
	signs := ""
	for _, l := range diffLines(full.Diff) {
		signs += l.Sign + "."
	}
	if signs != "..~...+.-." {
		t.Errorf("signs %q", signs)
	}
	// An agent's words never begin a line.
	for _, l := range Review(full, "aaaabbbb", apitest.Now) {
		if strings.HasPrefix(strings.TrimSpace(l.Text), "Approve:") || strings.Contains(text([]Line{l}), "\x1b") {
			t.Errorf("%q", l.Text)
		}
	}
}

func TestWaiting(t *testing.T) {
	bottle := func(name string, n int, age time.Duration) reconciler.BottleStatus {
		b := apitest.Bottle(name, "Ready", "")
		b.Proposals = &reconciler.WaitingProposals{Waiting: n, Oldest: apitest.Now.Add(-age)}
		return b
	}
	for want, bottles := range map[string][]reconciler.BottleStatus{
		"": {apitest.Bottle("a", "Ready", ""), bottle("b", 0, 0)},
		"  1 proposal waits for a decision (a), the oldest for 5m: bottled proposals\n":          {bottle("a", 1, 5*time.Minute), apitest.Bottle("b", "Ready", "")},
		"  8 proposals wait for a decision (a, b, c, …), the oldest for 2h: bottled proposals\n": {bottle("a", 1, time.Minute), bottle("b", 2, 2*time.Hour), bottle("c", 2, 0), bottle("d", 3, 0)},
	} {
		lines := Full(reconciler.Status{Bottles: bottles}, apitest.Now)
		if got := text(lines); want == "" && strings.Contains(got, "decision") || !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %q", got, want)
		}
	}
}
