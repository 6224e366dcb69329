package sim

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state/queue"
)

// upstream is a directory of manifests whose changes people merge: a checkout.
type upstream struct {
	*directory
	pushes bool

	mu       sync.Mutex
	down     error // why nothing can be proposed
	branches []approve.Branch
}

func (w *world) deskManifests() approve.Manifests {
	if w.upstream != nil {
		return w.upstream
	}
	return w.files
}

func (u *upstream) Write(string, []byte, []byte, safepath.Set) error {
	return errors.New("a checkout was written")
}

func (u *upstream) Propose(_ context.Context, b approve.Branch) (approve.Proposed, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now, err := os.ReadFile(b.File)
	switch {
	case u.down != nil:
		return approve.Proposed{}, u.down
	case err != nil:
		return approve.Proposed{}, err
	case string(now) != string(b.Before):
		return approve.Proposed{}, edit.ErrChanged
	}
	u.branches = append(u.branches, b)
	return approve.Proposed{Where: "branch " + b.Name + " waits", Patch: "the patch of " + b.Name, Pushed: u.pushes}, nil
}

// proposed returns the last branch, which must be of a proposal.
func (u *upstream) proposed(t *testing.T, id string) approve.Branch {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.branches) == 0 || u.branches[len(u.branches)-1].Name != "bottled/proposal-"+id {
		t.Fatalf("no branch of proposal %s: %+v", id, u.branches)
	}
	return u.branches[len(u.branches)-1]
}

// merging has a proposal of the agent of bottle a approved, whose change waits to be merged.
func merging(t *testing.T, pushes bool, test func(t *testing.T, w *world, id string)) {
	t.Helper()
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		w.useFiles(dir, map[string]string{"a.yaml": supervised})
		w.upstream = &upstream{directory: w.files, pushes: pushes}
		w.run(nil)
		w.settle(10 * time.Second)
		id := w.askHost("https://registry.npmjs.org")
		w.decide(id, approveIt)
		w.pass(20 * time.Minute)
		if p := w.proposal(id); p.State != reconciler.ProposalMerging || p.Message != "branch bottled/proposal-"+id+" waits" || w.answerTo(id) != nil {
			t.Fatalf("%+v, %+v", p, w.answerTo(id))
		}
		if text := w.files.text(t); text != supervised {
			t.Errorf("the checkout was changed:\n%s", text)
		}
		test(t, w, id)
		w.settle(5 * time.Minute)
	})
}

var merged = strings.Replace(supervised, "      - example.com # the first one\n", added, 1)

// TestMerged: the agent is answered once what was approved is merged, also if it was changed before, and the bottle is ready with it.
func TestMerged(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":   merged,
		"and more":   strings.Replace(merged, "npmjs.org:443", "npmjs.org:443\n      - other.example", 1),
		"as another": strings.Replace(merged, "registry.npmjs.org:443", "\"*.npmjs.org\"", 1),
	} {
		t.Run(name, func(t *testing.T) {
			merging(t, true, func(t *testing.T, w *world, id string) {
				b := w.upstream.proposed(t, id)
				if string(b.After) != merged || string(b.Before) != supervised || b.By != "anna" {
					t.Errorf("%+v\n%s", b, b.After)
				}
				if r, err := w.controller.Review(t.Context(), id); err != nil || r.Patch != "the patch of "+b.Name || !strings.Contains(r.Diff, "npmjs") {
					t.Errorf("%+v, %v", r, err)
				}
				w.files.save(t, "a.yaml", strings.Replace(supervised, "agent:1", "agent:2", 1))
				w.pass(10 * time.Minute)
				if p := w.proposal(id); p.State != reconciler.ProposalMerging {
					t.Errorf("after something else was merged: %+v", p)
				}
				w.files.save(t, "a.yaml", text)
				if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved || a.By != "anna" {
					t.Errorf("%+v", a)
				}
				if all := w.decisions(); len(all) != 1 || all[0].Action != "approved" {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// TestMergedAndNotReady: what is merged is not taken back, and the agent is told.
func TestMergedAndNotReady(t *testing.T) {
	merging(t, true, func(t *testing.T, w *world, id string) {
		w.dislikeNPM()
		w.run(nil)
		w.hands.Remove(name("pipelock", "a")) // it gets the program above
		w.settle(time.Minute)
		w.files.save(t, "a.yaml", merged)
		if a := w.awaitAnswer(id, 10*time.Minute); a.Status != queue.Failed || !strings.Contains(a.Notes, "approved and merged") {
			t.Errorf("%+v", a)
		}
		if text := w.files.text(t); text != merged {
			t.Errorf("the checkout was changed:\n%s", text)
		}
		w.files.save(t, "a.yaml", supervised)
	})
}

// TestMergeIsRejected: somebody thinks again. Another approval comes too late.
func TestMergeIsRejected(t *testing.T) {
	merging(t, true, func(t *testing.T, w *world, id string) {
		if err := w.controller.Decide(t.Context(), "bert", id, approveIt); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "by anna") {
			t.Errorf("approved again: %v", err)
		}
		if err := w.controller.Decide(t.Context(), "bert", id, reconciler.DecisionRequest{Notes: "not now"}); err != nil {
			t.Fatal(err)
		}
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Rejected || a.By != "bert" || a.Notes != "not now" {
			t.Errorf("%+v", a)
		}
		w.files.save(t, "a.yaml", merged) // by those who have not heard
	})
}

// TestMergeOverARestart: the next process goes on waiting, and a branch that was pushed is not made again.
func TestMergeOverARestart(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		merging(t, pushes, func(t *testing.T, w *world, id string) {
			before := len(w.upstream.branches)
			if again := before > 1; again == pushes {
				t.Errorf("pushed %t: %d branches were made", pushes, before)
			}
			w.run(nil)
			w.pass(10 * time.Minute)
			if p := w.proposal(id); p.State != reconciler.ProposalMerging || p.Decision.By != "anna" {
				t.Errorf("%+v", p)
			}
			if again := len(w.upstream.branches) > before; again == pushes {
				t.Errorf("pushed %t: %d branches, then %d", pushes, before, len(w.upstream.branches))
			}
			w.stop()
			w.files.save(t, "a.yaml", merged)
			w.run(nil)
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestUnpushedChangeThatNoLongerFits: nobody else has it, so the proposal waits for another decision.
func TestUnpushedChangeThatNoLongerFits(t *testing.T) {
	merging(t, false, func(t *testing.T, w *world, id string) {
		w.files.save(t, "a.yaml", strings.Replace(supervised, "example.com", "example.org", 1))
		w.pass(5 * time.Minute)
		if p := w.proposal(id); p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, "changed") {
			t.Fatalf("%+v", p)
		}
		w.decide(id, approveIt)
		w.pass(time.Minute)
		w.files.save(t, "a.yaml", string(w.upstream.proposed(t, id).After))
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
	})
}

// TestServerOfMergesIsDown: it is tried again, and what is merged meanwhile counts.
func TestServerOfMergesIsDown(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		w.useFiles(dir, map[string]string{"a.yaml": strings.Replace(supervised, "  supervise: true\n",
			"  supervise: true\n  approvals: {auto: [{tool: pipelock-block, hosts: [auto.example], max: 3}]}\n", 1)})
		w.upstream = &upstream{directory: w.files, pushes: true, down: errors.New("no route to host")}
		w.run(nil)
		w.settle(10 * time.Second)
		rule := w.askHost("https://auto.example")
		w.pass(time.Minute)
		if p := w.proposal(rule); p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, "a person has to merge") {
			w.t.Errorf("by a rule: %+v", p)
		}
		id := w.askHost("https://registry.npmjs.org")
		w.decide(id, reconciler.DecisionRequest{Approve: true, For: time.Hour})
		w.pass(10 * time.Minute)
		if p := w.proposal(id); p.State != reconciler.ProposalMerging || p.Message != "no route to host; it is tried again" {
			w.t.Errorf("%+v", p)
		}
		w.upstream.mu.Lock()
		w.upstream.down = nil
		w.upstream.mu.Unlock()
		w.pass(time.Minute)
		if b := w.upstream.proposed(w.t, id); !strings.Contains(string(b.After), "until:") {
			w.t.Errorf("%s", b.After)
		}
		w.pass(time.Hour) // nobody merges it
		if p := w.proposal(id); p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, "the time is over") {
			w.t.Errorf("%+v", p)
		}
	})
}

// TestSecretOfAMerge is there before its route is merged, and goes if that is rejected.
func TestSecretOfAMerge(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		w.useFiles(dir, map[string]string{"a.yaml": supervised})
		w.upstream = &upstream{directory: w.files, pushes: true}
		w.run(nil)
		w.settle(10 * time.Second)
		for _, merge := range []bool{false, true} {
			id := w.askSecret()
			w.decide(id, reconciler.DecisionRequest{Approve: true, Secret: "a-secret"})
			w.run(nil)
			w.pass(10 * time.Minute)
			if p := w.proposal(id); p.State != reconciler.ProposalMerging || w.secretIn(w.githubSecret()) != "a-secret\n" {
				t.Errorf("%+v, %q", p, w.secretIn(w.githubSecret()))
			}
			want, secret := queue.Rejected, ""
			if merge {
				want, secret = queue.Approved, "a-secret\n"
				w.files.save(t, "a.yaml", string(w.upstream.proposed(t, id).After))
			} else {
				w.decide(id, reconciler.DecisionRequest{})
			}
			if a := w.awaitAnswer(id, time.Minute); a.Status != want || w.secretIn(w.githubSecret()) != secret {
				t.Errorf("%+v, %q", a, w.secretIn(w.githubSecret()))
			}
			if kept := w.keptSecrets(); len(kept) > 0 {
				t.Errorf("kept: %v", kept)
			}
			w.settle(time.Minute)
		}
	})
}

// TestCommitMessage: an agent's words are not in it, where a forge would act on them.
func TestCommitMessage(t *testing.T) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		w.useFiles(dir, map[string]string{"a.yaml": supervised})
		w.upstream = &upstream{directory: w.files}
		w.run(nil)
		w.settle(10 * time.Second)
		if err := os.MkdirAll(w.settings.QueueDir("a"), 0o700); err != nil { // which the engine in memory does not make
			w.t.Fatal(err)
		}
		q, err := queue.Open(w.settings.QueueDir("a"))
		if err != nil {
			w.t.Fatal(err)
		}
		p, err := q.Submit(queue.Proposal{Bottle: "a", Tool: queue.PipelockBlock, Payload: "https://registry.npmjs.org", Justification: "closes #1 [skip ci]\n\nSigned-off-by: boss <boss@example.com>"})
		if err := errors.Join(err, q.Close()); err != nil {
			w.t.Fatal(err)
		}
		w.asked <- "a"
		w.pass(time.Second)
		w.decide(p.ID, reconciler.DecisionRequest{Approve: true, Notes: "fine"})
		w.pass(time.Minute)
		want := "Allow registry.npmjs.org:443 (bottle a)\n\nThe agent asks for it: bottled proposals show " + p.ID + "\n\nBottled-Proposal: " + p.ID + "\n"
		if got := w.upstream.proposed(w.t, p.ID).Message; got != want {
			w.t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

// TestMergeOfAnotherSource: the controller is started anew with the directory itself, so that nobody will merge anything.
func TestMergeOfAnotherSource(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		merging(t, pushes, func(t *testing.T, w *world, id string) {
			w.upstream = nil
			w.run(nil)
			w.pass(time.Minute)
			if p := w.proposal(id); p.State != reconciler.ProposalWaiting || !strings.Contains(p.Message, "not merged by people any more") {
				t.Fatalf("%+v", p)
			}
			w.decide(id, approveIt)
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved || w.files.text(t) != merged {
				t.Errorf("%+v\n%s", a, w.files.text(t))
			}
		})
	}
}
