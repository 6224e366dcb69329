package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
)

// askHost asks for a host and waits until the controller knows.
func (w *world) askHost(url string) string {
	w.t.Helper()
	id := w.ask(queue.PipelockBlock, url)
	w.pass(100 * time.Millisecond)
	return id
}

// decide makes a decision, which must be accepted.
func (w *world) decide(id string, request reconciler.DecisionRequest) {
	w.t.Helper()
	if err := w.controller.Decide(w.t.Context(), "anna", id, request); err != nil {
		w.t.Fatal(err)
	}
}

var approveIt = reconciler.DecisionRequest{Approve: true}

// TestTwoOperators: the first decision that is accepted counts, and the others learn whose it is.
func TestTwoOperators(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.askHost("https://registry.npmjs.org")
		var group sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			group.Go(func() {
				results[i] = w.controller.Decide(t.Context(), fmt.Sprintf("operator%d", i), id, reconciler.DecisionRequest{Approve: i%2 == 0, Notes: "mine"})
			})
		}
		group.Wait()
		winner := slices.Index(results, nil)
		answer := w.awaitAnswer(id, 10*time.Second)
		for i, err := range results {
			if i == winner {
				continue
			}
			if !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), fmt.Sprintf("by operator%d at ", winner)) {
				t.Errorf("operator %d: %v", i, err)
			}
		}
		if answer.By != fmt.Sprintf("operator%d", winner) || len(w.decisions()) != 1 {
			t.Errorf("operator %d was first: %+v, %+v", winner, answer, w.decisions())
		}
	})
}

// TestChangeIsTakenBack when the bottle does not become ready with it.
func TestChangeIsTakenBack(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		w.dislikeNPM()
		w.run(nil)
		w.hands.Remove(name(state.Pipelock, "a")) // it gets the program above
		w.settle(time.Minute)
		id := w.askHost("https://registry.npmjs.org")
		w.decide(id, approveIt)
		w.pass(time.Second)
		if text := w.files.text(t); !strings.Contains(text, "npmjs") {
			t.Errorf("it was not tried:\n%s", text)
		}
		answer := w.awaitAnswer(id, 10*time.Minute)
		if answer.Status != queue.Failed || strings.Contains(answer.Notes, "/") {
			t.Errorf("%+v", answer)
		}
		if text := w.files.text(t); text != supervised {
			t.Errorf("the manifest:\n%s", text)
		}
		if p := w.proposal(id); p.Decision.Status != queue.Failed || !strings.Contains(p.Message, "pipelock") {
			t.Errorf("%+v", p)
		}
		if all := w.decisions(); len(all) != 1 || all[0].Action != "failed" {
			t.Errorf("%+v", all)
		}
		w.settle(5 * time.Minute)
	})
}

// TestHostInForce is approved without a change.
func TestHostInForce(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.askHost("https://EXAMPLE.com/a")
		review, err := w.controller.Review(t.Context(), id)
		if err != nil || review.Diff != "" || len(review.Warnings) != 1 || !strings.Contains(review.Warnings[0], "allowed already") {
			t.Errorf("%+v, %v", review, err)
		}
		w.decide(id, approveIt)
		if a := w.awaitAnswer(id, time.Second); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
		if text := w.files.text(t); text != supervised {
			t.Errorf("the manifest:\n%s", text)
		}
	})
}

// TestHostIsAllowedForLonger than it is now: the entry gets another end, or none.
func TestHostIsAllowedForLonger(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		for _, step := range []struct {
			limit     time.Duration
			temporary bool // it still has an end
			changes   bool
		}{{time.Hour, true, true}, {30 * time.Minute, true, false}, {2 * time.Hour, true, true}, {0, false, true}, {time.Hour, false, false}} {
			before := w.files.text(t)
			id := w.askHost("https://registry.npmjs.org")
			w.decide(id, reconciler.DecisionRequest{Approve: true, For: step.limit})
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
				t.Errorf("for %s: %+v", step.limit, a)
			}
			text := w.files.text(t)
			if strings.Count(text, "registry.npmjs.org:443") != 1 || strings.Contains(text, "until:") != step.temporary || (text != before) != step.changes {
				t.Errorf("for %s:\n%s", step.limit, text)
			}
		}
		w.settle(time.Minute)
	})
}

// TestExpiry answers proposals that nobody decides about, over a restart of the controller.
func TestExpiry(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.askHost("https://registry.npmjs.org")
		w.pass(12 * time.Hour)
		w.run(nil)
		w.pass(12*time.Hour - 10*time.Second)
		if a := w.answerTo(id); a != nil {
			t.Fatalf("too early: %+v", a)
		}
		w.pass(20 * time.Second)
		if a := w.answerTo(id); a == nil || a.Status != queue.Expired || !strings.Contains(a.Notes, "24h") {
			t.Errorf("%+v", a)
		}
		if all := w.decisions(); len(all) != 1 || all[0].Action != "expired" || all[0].Who != "bottled" {
			t.Errorf("%+v", all)
		}
	})
}

// TestStaleReview: nobody approves what he has not seen.
func TestStaleReview(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.askHost("https://registry.npmjs.org")
		review, err := w.controller.Review(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		w.files.save(t, "a.yaml", strings.Replace(supervised, "  agent:\n", "  # another line\n  agent:\n", 1))
		w.pass(time.Second)
		request := reconciler.DecisionRequest{Approve: true, Digest: review.Digest}
		if err := w.controller.Decide(t.Context(), "anna", id, request); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "look at the proposal again") {
			t.Errorf("%v", err)
		}
		if review, err = w.controller.Review(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		request.Digest = review.Digest
		w.decide(id, request)
		if a := w.awaitAnswer(id, 10*time.Second); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
	})
}

// TestFilesThatCantBeReplaced: the review says so, with the change that can't be made, and no decision is made about it.
func TestFilesThatCantBeReplaced(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(t.TempDir(), "token")
	simulate(t, func(w *world) {
		t := w.t
		if err := os.WriteFile(token, []byte("the-first"), 0o600); err != nil {
			t.Fatal(err)
		}
		manifest := withSecret(supervised, token)
		w.useFiles(dir, map[string]string{"a.yaml": manifest})
		w.run(nil)
		w.settle(10 * time.Second)
		host := w.askHost("https://registry.npmjs.org")
		secret := w.ask(queue.SecretRequest, `{"name":"`+state.TokenSlot(route.SecretRef{File: token})+`","upstream":"https://api.github.com"}`)
		w.pass(100 * time.Millisecond)
		giveIt := reconciler.DecisionRequest{Approve: true, Secret: "a-secret"}
		blocked := func(id string, request reconciler.DecisionRequest, why, diff string) {
			t.Helper()
			review, err := w.controller.Review(t.Context(), id)
			if err != nil || !strings.Contains(review.Blocked, why) || !strings.Contains(review.Diff, diff) {
				t.Errorf("%+v, %v", review, err)
			}
			if err := w.controller.Decide(t.Context(), "anna", id, request); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), why) {
				t.Errorf("%v", err)
			}
		}
		for _, file := range []string{w.files.path("a.yaml"), token} {
			if err := os.Link(file, file+".other"); err != nil {
				t.Fatal(err)
			}
		}
		blocked(host, approveIt, "a.yaml: the file can't be replaced: it has other hard links", "+      - registry.npmjs.org:443")
		blocked(secret, giveIt, "token: the file can't be replaced: it has other hard links", "")
		if err := errors.Join(os.Remove(token), os.Remove(token+".other"), os.Remove(w.files.path("a.yaml.other"))); err != nil {
			t.Fatal(err)
		}
		blocked(secret, giveIt, "token does not exist: make it, empty", "")
		if all, text := w.decisions(), w.files.text(t); len(all) > 0 || text != manifest {
			t.Errorf("%+v\n%s", all, text)
		}
		if err := os.WriteFile(token, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.decide(secret, giveIt)
		w.decide(host, approveIt)
		for _, id := range []string{secret, host} {
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
				t.Errorf("%+v", a)
			}
		}
		w.settle(time.Minute)
	})
}

// TestFileChangesUnderneath between the decision and its change of the file.
func TestFileChangesUnderneath(t *testing.T) {
	hasIt := strings.Replace(supervised, "      - example.com # the first one\n", "      - '*.npmjs.org'\n", 1)
	other := strings.Replace(supervised, "example.com", "example.org", 1)
	for name, c := range map[string]struct {
		text   string
		status queue.Status // "" for a decision that is void
	}{
		"it has what was decided": {hasIt, queue.Approved},
		"it says something else":  {other, ""},
		"it is broken":            {"apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: a}\nspec: {what: ever}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			approvals(t, func(t *testing.T, w *world) {
				w.aroundDesk = func(write approve.Write, do func() error) error {
					if write == approve.WriteManifest {
						w.files.save(t, "a.yaml", c.text)
					}
					return do()
				}
				w.run(nil)
				w.settle(10 * time.Second)
				id := w.askHost("https://registry.npmjs.org")
				w.decide(id, approveIt)
				w.pass(10 * time.Second)
				if text := w.files.text(t); text != c.text {
					t.Errorf("the manifest of somebody else was changed:\n%s", text)
				}
				p, answer := w.proposal(id), w.answerTo(id)
				if c.status != "" {
					if answer == nil || answer.Status != c.status {
						t.Errorf("%+v, %+v", p, answer)
					}
					return
				}
				if answer != nil || p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, "the decision of anna was not carried out") {
					t.Errorf("%+v, %+v", p, answer)
				}
				if all := w.decisions(); len(all) != 1 || all[0].Action != "void" {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// TestUnwritableManifest: a disk that is full, or read-only, leaves the proposal to be decided again, and the agent hears nothing of it.
func TestUnwritableManifest(t *testing.T) {
	for _, why := range []error{edit.ErrNoSpace, edit.ErrReadOnly, edit.ErrNotReplaceable} {
		t.Run(why.Error(), func(t *testing.T) {
			approvals(t, func(t *testing.T, w *world) {
				broken := true
				w.aroundDesk = func(write approve.Write, do func() error) error {
					if write == approve.WriteManifest && broken {
						return fmt.Errorf("a.yaml: %w", why)
					}
					return do()
				}
				w.run(nil)
				w.settle(10 * time.Second)
				id := w.askHost("https://registry.npmjs.org")
				w.decide(id, approveIt)
				w.pass(10 * time.Second)
				if p := w.proposal(id); p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, why.Error()) || w.answerTo(id) != nil {
					t.Errorf("%+v", p)
				}
				broken = false
				w.decide(id, approveIt)
				if a := w.awaitAnswer(id, 10*time.Second); a.Status != queue.Approved {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// TestFullDisk: what can't be put on file is not decided.
func TestFullDisk(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		w.aroundDesk = func(write approve.Write, do func() error) error {
			if write == approve.WriteDecision {
				return edit.ErrNoSpace
			}
			return do()
		}
		w.run(nil)
		w.settle(10 * time.Second)
		id := w.askHost("https://registry.npmjs.org")
		if err := w.controller.Decide(t.Context(), "anna", id, approveIt); !errors.Is(err, edit.ErrNoSpace) {
			t.Errorf("%v", err)
		}
		w.pass(48 * time.Hour) // it can't expire either
		if p := w.proposal(id); p.State != reconciler.ProposalWaiting || w.files.text(t) != supervised {
			t.Errorf("%+v", p)
		}
		w.aroundDesk = nil
		w.run(nil)
		w.pass(time.Minute)
		if a := w.answerTo(id); a == nil || a.Status != queue.Expired {
			t.Errorf("%+v", a)
		}
	})
}

// TestEdited writes what the operator made of the proposal, if that is valid.
func TestEdited(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		id := w.askHost("https://registry.npmjs.org")
		invalid := strings.Replace(supervised, "example.com", "not a host", 1)
		err := w.controller.Decide(t.Context(), "anna", id, reconciler.DecisionRequest{Approve: true, Edited: &invalid})
		if !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "spec.egress.allowlist[0]") {
			t.Errorf("%v", err)
		}
		gone := strings.Replace(supervised, "name: a", "name: b", 1)
		if err := w.controller.Decide(t.Context(), "anna", id, reconciler.DecisionRequest{Approve: true, Edited: &gone}); !errors.Is(err, reconciler.ErrDecision) {
			t.Errorf("%v", err)
		}
		edited := strings.Replace(supervised, "example.com", "registry.npmjs.org", 1)
		w.decide(id, reconciler.DecisionRequest{Approve: true, Edited: &edited, Notes: "only this one"})
		if a := w.awaitAnswer(id, 10*time.Second); a.Status != queue.Modified || a.Notes != "only this one" {
			t.Errorf("%+v", a)
		}
		if text := w.files.text(t); text != edited {
			t.Errorf("the manifest:\n%s", text)
		}
		w.settle(time.Minute)
	})
}

// TestManyApprovals of one bottle are carried out one after the other, each on what the one before leaves.
func TestManyApprovals(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		var ids []string
		for i := range 10 {
			ids = append(ids, w.ask(queue.PipelockBlock, fmt.Sprintf("https://host%d.example", i)))
		}
		w.pass(2 * time.Second)
		for _, id := range ids {
			w.decide(id, approveIt)
		}
		for _, id := range ids {
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
				t.Errorf("%+v", a)
			}
		}
		text := w.files.text(t)
		for i := range ids {
			if strings.Count(text, fmt.Sprintf("- host%d.example:443\n", i)) != 1 {
				t.Errorf("host %d:\n%s", i, text)
			}
		}
		w.settle(time.Minute)
	})
}

// TestDockerfile is approved, kept if it can be built, and taken back if it can't.
func TestDockerfile(t *testing.T) {
	dir, built := t.TempDir(), t.TempDir()
	dockerfile := filepath.Join(built, "Dockerfile")
	if err := os.WriteFile(dockerfile, []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	simulate(t, func(w *world) {
		w.useFiles(dir, map[string]string{"a.yaml": strings.Replace(supervised, "image: agent:1", "build: {context: "+built+"}", 1)})
		w.run(nil)
		w.settle(10 * time.Second)
		agent, _ := w.hands.ID(name(state.Agent, "a"))
		proxy, _ := w.hands.ID(name(state.Pipelock, "a"))
		id := w.ask(queue.CapabilityBlock, "FROM scratch\nLABEL more=1\n")
		w.pass(2 * time.Second)
		review, err := w.controller.Review(w.t.Context(), id)
		if err != nil || review.File != dockerfile || !strings.Contains(review.Diff, "+LABEL more=1") {
			w.t.Errorf("%+v, %v", review, err)
		}
		w.decide(id, reconciler.DecisionRequest{Approve: true, Digest: review.Digest})
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
			w.t.Errorf("%+v", a)
		}
		if now, running := w.hands.ID(name(state.Agent, "a")); now == agent || !running {
			w.t.Error("the agent is the same")
		}
		if now, _ := w.hands.ID(name(state.Pipelock, "a")); now != proxy {
			w.t.Error("pipelock was replaced")
		}
		if plan := strings.Join(review.Plan, "\n"); len(review.Plan) != 2 || !strings.Contains(plan, "image") || !strings.Contains(plan, "agent") {
			w.t.Errorf("the plan:\n%s", plan)
		}
		w.settle(time.Minute)
		w.rollBack(dockerfile, "FROM scratch\n")
		w.rollBack(dockerfile, "FROM scratch\nLABEL more=1\n")
		if all := w.decisions(); len(all) != 3 || all[2].Who != "anna" || all[2].Action != "approved" {
			w.t.Errorf("%+v", all)
		}
	})
}

// rollBack has the agent's Dockerfile be what it was before.
func (w *world) rollBack(dockerfile, want string) {
	w.t.Helper()
	review, err := w.controller.ReviewRollback(w.t.Context(), "a")
	if err != nil || review.File != dockerfile || !strings.Contains(strings.Join(review.Plan, "\n"), "agent") {
		w.t.Errorf("%+v, %v", review, err)
	}
	if _, err := w.controller.Rollback(w.t.Context(), "anna", "a", reconciler.RollbackRequest{Digest: "another"}); !errors.Is(err, reconciler.ErrDecision) {
		w.t.Errorf("of something else: %v", err)
	}
	agent, _ := w.hands.ID(name(state.Agent, "a"))
	id, err := w.controller.Rollback(w.t.Context(), "anna", "a", reconciler.RollbackRequest{Digest: review.Digest})
	if err != nil {
		w.t.Fatal(err)
	}
	w.pass(time.Minute)
	if p := w.proposal(id); p.State != reconciler.ProposalAnswered || p.Decision.Status != queue.Approved {
		w.t.Errorf("%+v", p)
	}
	if text, err := os.ReadFile(dockerfile); err != nil || string(text) != want {
		w.t.Errorf("%q, %v", text, err)
	}
	if now, running := w.hands.ID(name(state.Agent, "a")); now == agent || !running {
		w.t.Error("the agent is the same")
	}
	w.settle(time.Minute)
}

// TestRollbackOfNothing is refused, also where another file is declared by now.
func TestRollbackOfNothing(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		for _, kept := range []string{"", `{"file": "/another/Dockerfile", "content": ""}`} {
			if kept != "" {
				if err := owndir.Save(filepath.Join(w.settings.ApprovalsDir(), "previous", "a.json"), []byte(kept)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.controller.Rollback(t.Context(), "anna", "a", reconciler.RollbackRequest{}); !errors.Is(err, reconciler.ErrDecision) {
				t.Errorf("%q: %v", kept, err)
			}
		}
		if _, err := w.controller.ReviewRollback(t.Context(), "nobody"); !errors.Is(err, reconciler.ErrNoBottle) {
			t.Errorf("%v", err)
		}
	})
}

// withRoutes is a bottle with two routes.
var withRoutes = strings.Replace(supervised, "        token: {env: TOKEN}\n", `        token: {env: TOKEN}
      # the second one
      - path: "/other/"   # kept
        upstream: https://other.example
        token: {env: OTHER}
`, 1)

// TestRoutes are changed where they differ, and a token's new upstream needs a word of its own.
func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		w.useFiles(dir, map[string]string{"a.yaml": withRoutes})
		w.run(nil)
		w.settle(10 * time.Second)
		ask := func(routes string) (string, reconciler.Review) {
			t.Helper()
			id := w.ask(queue.CredProxyBlock, `{"routes":[`+routes+`]}`)
			w.pass(100 * time.Millisecond)
			review, err := w.controller.Review(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return id, review
		}
		const same = `{"path":"/other/","upstream":"https://other.example","auth_scheme":"Bearer","token_slot":"env-OTHER"}`
		id, review := ask(`{"path":"/anthropic/","upstream":"https://api.anthropic.com","token_slot":"env-TOKEN","methods":["GET","POST"]},` + same)
		w.decide(id, reconciler.DecisionRequest{Approve: true, Digest: review.Digest})
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved || len(review.Dangers) > 0 {
			t.Errorf("%+v, %+v", a, review)
		}
		text := w.files.text(t)
		if !strings.Contains(text, "methods:") || !strings.Contains(text, "      # the second one\n      - path: \"/other/\"   # kept\n") || strings.Contains(text, "Bearer") {
			t.Errorf("the manifest:\n%s", text)
		}
		id, review = ask(`{"path":"/anthropic/","upstream":"https://evil.example","token_slot":"env-TOKEN"},` + same)
		if len(review.Dangers) != 1 || !strings.Contains(review.Dangers[0], "evil.example") {
			t.Errorf("%+v", review)
		}
		if err := w.controller.Decide(t.Context(), "anna", id, approveIt); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "evil.example") {
			t.Errorf("%v", err)
		}
		w.decide(id, reconciler.DecisionRequest{Notes: "no"})
		id, review = ask(`{"path":"/anthropic/","upstream":"https://api.anthropic.com","token_slot":"env-OF_ANOTHER"}`)
		if !strings.Contains(review.Blocked, "env-OF_ANOTHER") {
			t.Errorf("%+v", review)
		}
		w.decide(id, reconciler.DecisionRequest{Notes: "no"})
		id, _ = ask(`{"path":"/new/","upstream":"https://new.example","token_slot":"env-OTHER"}`)
		w.decide(id, reconciler.DecisionRequest{Approve: true, AllowNewUpstream: true})
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
		if text := w.files.text(t); strings.Contains(text, "path: /anthropic/") || strings.Contains(text, "/other/") || !strings.Contains(text, "https://new.example") {
			t.Errorf("the manifest:\n%s", text)
		}
		w.settle(time.Minute)
	})
}

// TestSecret is written where its route finds it, and nowhere else.
func TestSecret(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		const first, second = "first-secret-value", "second-secret-value"
		give := func(secret string) queue.Answer {
			t.Helper()
			id := w.ask(queue.SecretRequest, `{"name":"github","upstream":"https://api.github.com"}`)
			w.pass(100 * time.Millisecond)
			if err := w.controller.Decide(t.Context(), "anna", id, approveIt); !errors.Is(err, reconciler.ErrDecision) {
				t.Errorf("without a secret: %v", err)
			}
			w.decide(id, reconciler.DecisionRequest{Approve: true, Secret: secret + "\n"})
			return w.awaitAnswer(id, time.Minute)
		}
		file := filepath.Join(w.settings.SecretDir("a"), "github")
		for _, secret := range []string{first, second} {
			if a := give(secret); a.Status != queue.Approved {
				t.Errorf("%+v", a)
			}
			if data, err := os.ReadFile(file); err != nil || string(data) != secret+"\n" {
				t.Errorf("%q, %v", data, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if tokens := w.token("a"); !strings.Contains(tokens, secret) {
				t.Errorf("cred-proxy has %q", tokens)
			}
		}
		text := w.files.text(t)
		if strings.Count(text, "path: /github/") != 1 || !strings.Contains(text, "file: "+file) {
			t.Errorf("the manifest:\n%s", text)
		}
		var everywhere strings.Builder
		err := filepath.WalkDir(w.settings.StateDir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path == file {
				return err
			}
			data, err := os.ReadFile(path)
			everywhere.Write(data)
			return err
		})
		if all := everywhere.String() + text + w.said.String(); err != nil || strings.Contains(all, first) || strings.Contains(all, second) {
			t.Errorf("the secret is somewhere else, too (%v)", err)
		}
		if kept := w.keptSecrets(); len(kept) > 0 {
			t.Errorf("kept: %v", kept)
		}
		w.settle(time.Minute)
	})
}

// TestRule approves without a person, as often as it may.
func TestRule(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		w.useFiles(dir, map[string]string{"a.yaml": strings.Replace(supervised, "supervise: true",
			`supervise: true
  approvals: {auto: [{tool: pipelock-block, hosts: ["*.npmjs.org"], max: 2}]}`, 1)})
		w.run(nil)
		w.settle(10 * time.Second)
		for i, want := range []queue.Status{queue.Approved, queue.Approved, ""} {
			id := w.askHost(fmt.Sprintf("https://host%d.npmjs.org", i))
			w.run(nil) // what was counted is on file
			w.pass(10 * time.Second)
			a := w.answerTo(id)
			if want == "" {
				if p := w.proposal(id); a != nil || !strings.Contains(p.Message, "its max is 2") {
					t.Errorf("%+v, %+v", a, p)
				}
				continue
			}
			if a == nil || a.Status != want || a.By != "rule" {
				t.Errorf("%d: %+v", i, a)
			}
		}
		id := w.askHost("https://another.example")
		w.pass(time.Minute)
		if a, p := w.answerTo(id), w.proposal(id); a != nil || p.Message != "" {
			t.Errorf("%+v, %+v", a, p)
		}
	})
}

// TestDockerfileThatCantBeBuilt is taken back, and the agent that runs stays.
func TestDockerfileThatCantBeBuilt(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.useFiles(dir, map[string]string{"a.yaml": strings.Replace(supervised, "image: agent:1", "build: {context: .}", 1)})
		broken := false
		w.run(func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
			if broken && c.Verb == "build_image" {
				return errors.New("RUN exploit: exit code 1")
			}
			return next(ctx)
		})
		w.settle(10 * time.Second)
		before := w.containersOf("a")
		broken = true
		id := w.ask(queue.CapabilityBlock, "FROM scratch\nRUN exploit\n")
		w.pass(time.Second)
		w.decide(id, approveIt)
		if a := w.awaitAnswer(id, 20*time.Minute); a.Status != queue.Failed || !strings.Contains(a.Notes, "RUN exploit: exit code 1") {
			t.Errorf("%+v", a)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "Dockerfile")); err != nil || string(data) != "FROM scratch\n" {
			t.Errorf("%q, %v", data, err)
		}
		if after := w.containersOf("a"); after != before {
			t.Errorf("containers were replaced: %s, before %s", after, before)
		}
		w.settle(time.Minute)
	})
}
