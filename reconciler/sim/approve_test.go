package sim

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const supervised = `# the bottle of the tests
apiVersion: bottled/v1alpha1
kind: Bottle
metadata:
  name: a
spec:
  supervise: true
  egress:
    allowlist:
      - example.com # the first one
  credProxy:
    routes:
      - path: /anthropic/
        upstream: https://api.anthropic.com
        token: {env: TOKEN}
  agent:
    image: agent:1
`

const added = "      - example.com # the first one\n      - registry.npmjs.org:443\n"

// ask queues a proposal of the agent of bottle a.
func (w *world) ask(tool queue.Tool, payload string) string {
	w.t.Helper()
	if err := os.MkdirAll(w.settings.QueueDir("a"), 0o700); err != nil { // which the engine in memory does not make
		w.t.Fatal(err)
	}
	q, err := queue.Open(w.settings.QueueDir("a"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	p, err := q.Submit(queue.Proposal{Bottle: "a", Tool: tool, Payload: payload, Justification: "needed for the build"})
	if err != nil {
		w.t.Fatal(err)
	}
	select {
	case w.asked <- "a":
	case <-time.After(time.Second):
		w.t.Error("nobody watches the queues")
	}
	return p.ID
}

// queueWatcher says what ask tells it.
type queueWatcher struct{ asked chan string }

func (w queueWatcher) Changes() <-chan string { return w.asked }

func (w queueWatcher) Close() error { return nil }

// answerTo returns the answer to a proposal; nil while there is none.
func (w *world) answerTo(id string) *queue.Answer {
	w.t.Helper()
	q, err := queue.Open(w.settings.QueueDir("a"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	entry, err := q.Get(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return entry.Answer
}

// awaitAnswer waits for the answer to a proposal.
func (w *world) awaitAnswer(id string, most time.Duration) queue.Answer {
	w.t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); w.pass(time.Millisecond) {
		if a := w.answerTo(id); a != nil {
			return *a
		}
	}
	w.t.Fatalf("no answer within %s: %+v", most, w.controller.Proposals())
	return queue.Answer{}
}

// proposal returns a proposal as the controller shows it.
func (w *world) proposal(id string) reconciler.Proposal {
	w.t.Helper()
	for _, p := range w.controller.Proposals() {
		if p.ID == id {
			return p
		}
	}
	w.t.Fatalf("no proposal %s", id)
	return reconciler.Proposal{}
}

// decisions returns the decisions in the audit log of bottle a.
func (w *world) decisions() (all []queue.Record) {
	w.t.Helper()
	file, err := os.Open(filepath.Join(w.settings.AuditDir(), "a.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r queue.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			w.t.Fatal(err)
		}
		if r.Kind == "decision" {
			all = append(all, r)
		}
	}
	return all
}

// approvals simulates a controller with one bottle whose manifest is a file.
func approvals(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	simulate(t, func(w *world) {
		w.useFiles(dir, map[string]string{"a.yaml": supervised})
		w.run(nil)
		w.settle(10 * time.Second)
		test(w.t, w)
	})
}

// TestApprovedHost is written into the manifest, served by pipelock, recorded, and then told to the agent.
func TestApprovedHost(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.ask(queue.PipelockBlock, "https://registry.npmjs.org/left-pad")
		w.pass(2 * time.Second)
		if p := w.proposal(id); p.State != reconciler.ProposalWaiting || p.Summary != "allow registry.npmjs.org:443" || p.Bottle != "a" {
			t.Errorf("%+v", p)
		}
		if s, _ := w.status("a"); s.Proposals == nil || s.Proposals.Waiting != 1 {
			t.Errorf("%+v", s.Proposals)
		}
		review, err := w.controller.Review(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(review.Diff, "+      - registry.npmjs.org:443\n") || review.Blocked != "" || review.File != w.files.path("a.yaml") {
			t.Errorf("%+v", review)
		}
		if plan := strings.Join(review.Plan, "\n"); !strings.Contains(plan, "reload pipelock p-pipelock-a") || strings.Contains(plan, "agent") {
			t.Errorf("the plan: %s", plan)
		}
		if err := w.converged(); err != nil {
			t.Errorf("the review has changed something: %v", err)
		}
		began := time.Now()
		if err := w.controller.Decide(t.Context(), "anna", id, reconciler.DecisionRequest{Approve: true, Digest: review.Digest, Notes: "fine"}); err != nil {
			t.Fatal(err)
		}
		answer := w.awaitAnswer(id, 10*time.Second)
		t.Logf("answered after %s", time.Since(began))
		if answer.Status != queue.Approved || answer.By != "anna" || answer.Notes != "fine" {
			t.Errorf("%+v", answer)
		}
		if s, _ := w.status("a"); !s.Ready || s.Proposals != nil {
			t.Errorf("the agent has the answer, and the bottle is %+v", s)
		}
		if text := w.files.text(t); text != strings.Replace(supervised, "      - example.com # the first one\n", added, 1) {
			t.Errorf("the manifest:\n%s", text)
		}
		if all := w.decisions(); len(all) != 1 || all[0].Action != "approved" || all[0].Who != "anna" || all[0].Diff != review.Diff || all[0].Proposal != id || all[0].File != review.File || len(all[0].After) != 64 {
			t.Errorf("%+v", all)
		}
		if p := w.proposal(id); p.State != reconciler.ProposalAnswered || p.Decision.Status != queue.Approved {
			t.Errorf("%+v", p)
		}
		if err := w.controller.Decide(t.Context(), "bob", id, reconciler.DecisionRequest{}); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "by anna") {
			t.Errorf("a second decision: %v", err)
		}
		w.settle(time.Minute)
	})
}
