package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestProposalsWithoutController: the queues are read, and nobody decides.
func TestProposalsWithoutController(t *testing.T) {
	s := socketService(t)
	s.Settings.SubnetPool = state.DefaultPool.String()
	if all, err := s.Proposals(t.Context()); err != nil || len(all.Proposals) > 0 || !all.Offline {
		t.Errorf("no queue: %+v, %v", all, err)
	}
	propose(t, s, "two", 1)
	propose(t, s, "one", 2)
	if err := os.Symlink(filepath.Join(s.Settings.StateDir, "queue", "one"), filepath.Join(s.Settings.StateDir, "queue", "three")); err != nil {
		t.Fatal(err)
	}
	all, err := s.Proposals(t.Context())
	if err != nil || len(all.Proposals) != 3 || all.Proposals[0].Bottle != "two" || all.Proposals[2].Summary != "allow h1.test:443" || all.Proposals[2].State != reconciler.ProposalWaiting {
		t.Fatalf("%+v, %v", all, err)
	}
	if len(all.Warnings) != 2 || !strings.Contains(all.Warnings[0], "1 file in the queue of bottle one can't be read, the first: ") {
		t.Errorf("warnings: %q", all.Warnings)
	}
	id := all.Proposals[0].ID
	review, err := s.Review(t.Context(), id)
	if err != nil || review.Payload != "https://h0.test/" || !strings.Contains(review.Blocked, "no controller runs") || !strings.Contains(review.Blocked, "bottled reconcile DIR…") {
		t.Errorf("%+v, %v", review, err)
	}
	for what, err := range map[string]error{"decide": s.Decide(t.Context(), id, reconciler.DecisionRequest{}), "check": s.CheckController(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "start one with bottled reconcile DIR…") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestProposalsOfController(t *testing.T) {
	s := socketService(t)
	source := &apitest.Source{}
	p := reconciler.Proposal{ID: "t-abcdefgh", Bottle: "dev", State: reconciler.ProposalWaiting, Asked: time.Unix(1, 0).UTC()}
	source.SetProposals(reconciler.Review{Proposal: p, Diff: "+"})
	defer serve(t, s, source)()
	all, err := s.Proposals(t.Context())
	if err != nil || len(all.Proposals) != 1 || all.Proposals[0] != p || all.Offline {
		t.Errorf("%+v, %v", all, err)
	}
	if found, err := s.FindProposal(t.Context(), "abc"); err != nil || found != p {
		t.Errorf("%+v, %v", found, err)
	}
	if r, err := s.Review(t.Context(), p.ID); err != nil || r.Diff != "+" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.CheckController(t.Context()); err != nil {
		t.Error(err)
	}
	enough := errors.New("enough")
	err = s.FollowProposals(t.Context(), func(all Proposals) error { return fmt.Errorf("%w: %d", enough, len(all.Proposals)) }, nil)
	if !errors.Is(err, enough) || err.Error() != "enough: 1" {
		t.Errorf("follow: %v", err)
	}
}

func TestSelectProposal(t *testing.T) {
	all := []reconciler.Proposal{{ID: "t-abcd", Bottle: "dev", Summary: "allow \x1b"}, {ID: "t-abef", Bottle: "web"}, {ID: "t-xyz"}, {ID: "xyz"}}
	for text, want := range map[string]string{"abc": "t-abcd", "t-abef": "t-abef", "xyz": "xyz", "abe": "t-abef"} {
		if p, err := SelectProposal(all, text); err != nil || p.ID != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "b", "t-ab", "abcde", "t"} {
		if _, err := SelectProposal(all, text); !errors.Is(err, reconciler.ErrNoProposal) || exit.Code(err, false) != exit.Failed {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := SelectProposal(all, "ab")
	if exit.Code(err, false) != exit.BadInput || !strings.Contains(err.Error(), "2 proposals begin with \"ab\"; give more of the ID:\nabcd  dev") {
		t.Errorf("ambiguous: %v", err)
	}
}

// TestAwaitAnswer follows a decision to its end, also over a restart of the controller.
func TestAwaitAnswer(t *testing.T) {
	at := func(s reconciler.ProposalState, message string, status queue.Status) []reconciler.Proposal {
		return []reconciler.Proposal{{ID: "other", State: reconciler.ProposalWaiting}, {ID: "x", State: s, Message: message, Decision: &reconciler.Decision{Status: status}}}
	}
	applying := at(reconciler.ProposalApplying, "waiting for dev", queue.Approved)
	for name, c := range map[string]struct {
		steps    [][]reconciler.Proposal // nil: the controller goes, for 10 s
		says     string                  // as the error
		progress int
	}{
		"approved":      {steps: [][]reconciler.Proposal{applying, applying, at(reconciler.ProposalAnswered, "", queue.Approved)}, progress: 2},
		"merging":       {steps: [][]reconciler.Proposal{at(reconciler.ProposalMerging, "waits", queue.Approved)}, progress: 1},
		"a restart":     {steps: [][]reconciler.Proposal{applying, nil, nil, at(reconciler.ProposalAnswered, "", queue.Modified)}, progress: 2},
		"failed":        {steps: [][]reconciler.Proposal{applying, at(reconciler.ProposalAnswered, "it ended", queue.Failed)}, says: "proposal x was approved, and the change was taken back: it ended", progress: 2},
		"void":          {steps: [][]reconciler.Proposal{applying, at(reconciler.ProposalWaiting, "the file changed", queue.Approved)}, says: "proposal x waits again: the file changed", progress: 2},
		"gone":          {steps: [][]reconciler.Proposal{applying, {}}, says: "proposal x is not there any more", progress: 1},
		"no controller": {steps: [][]reconciler.Proposal{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}, says: "carries it out when it runs again: no controller runs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := c.steps
				watch := func(_ context.Context, show func([]reconciler.Proposal) error) error {
					for len(steps) > 0 {
						step := steps[0]
						steps = steps[1:]
						if step == nil {
							time.Sleep(10 * time.Second)
							return api.ErrNoController
						}
						if err := show(step); err != nil {
							return err
						}
					}
					return errors.New("the test has no more steps")
				}
				progress := 0
				_, err := awaitAnswer(t.Context(), watch, "x", func(reconciler.Proposal) { progress++ })
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || progress != c.progress {
					t.Errorf("%v after %d steps; want %q after %d", err, progress, c.says, c.progress)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := awaitAnswer(ctx, func(context.Context, func([]reconciler.Proposal) error) error { return context.Canceled }, "x", nil)
	if err == nil || !strings.Contains(err.Error(), "the controller goes on") {
		t.Errorf("interrupted: %v", err)
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{"a b\n": "a b", "a\r\n": "a", "a": "a", "a\nb\n\n": "a\nb\n"} {
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &Service{Stdin: strings.NewReader(content)}
		for _, from := range []string{path, Stdin} {
			if got, err := s.ReadSecret(from); err != nil || got != want {
				t.Errorf("%q from %s: %q, %v", content, from, got, err)
			}
		}
	}
	for content, says := range map[string]string{"": "is empty", "\n": "is empty", strings.Repeat("x", maxSecret+1): "at most"} {
		s := &Service{Stdin: strings.NewReader(content)}
		if _, err := s.ReadSecret(Stdin); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "xx") {
			t.Errorf("%.9q: %v", content, err)
		}
	}
	if _, err := (&Service{}).ReadSecret(dir + "/none"); err == nil {
		t.Error("a file that is not there")
	}
}
