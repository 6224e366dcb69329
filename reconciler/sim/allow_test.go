package sim

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state/queue"
)

// allow has bottle a reach a host, and returns how that ended.
func (w *world) allow(host string) reconciler.Proposal {
	w.t.Helper()
	id, err := w.controller.Allow(w.t.Context(), "anna", "a", reconciler.AllowRequest{Host: host, Notes: "for the build"})
	if err != nil {
		w.t.Fatal(err)
	}
	for range 600 {
		if p := w.proposal(id); p.State == reconciler.ProposalAnswered {
			return p
		}
		w.pass(time.Second)
	}
	w.t.Fatalf("it does not end: %+v", w.controller.Proposals())
	return reconciler.Proposal{}
}

// TestAllow: a person has a bottle reach a host, though no agent has asked.
func TestAllow(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		p := w.allow("registry.npmjs.org")
		if p.Decision.Status != queue.Approved || p.Decision.By != "anna" || !p.Own {
			t.Errorf("%+v", p)
		}
		if text := w.files.text(t); !strings.Contains(text, added) {
			t.Errorf("the manifest:\n%s", text)
		}
		if all := w.decisions(); len(all) != 1 || all[0].Action != "approved" || all[0].Who != "anna" || all[0].Notes != "for the build" {
			t.Errorf("%+v", all)
		}
		if _, err := os.Stat(w.settings.QueueDir("a")); err == nil {
			t.Error("the agent's queue was touched")
		}
		w.settle(time.Minute)
		for request, says := range map[reconciler.AllowRequest]string{
			{Host: "registry.npmjs.org"}:            "has that already",
			{Host: "registry.npmjs.org:443"}:        "has that already",
			{Host: "10.0.0.1"}:                      "private",
			{Host: "a b"}:                           "not decided",
			{Host: "x/../y"}:                        "not decided",
			{Host: "user@x.example"}:                "not decided",
			{Host: "x.example", For: time.Second}:   "too short",
			{Host: "x.example", Notes: "\x1b[2Jno"}: "the notes",
		} {
			if _, err := w.controller.Allow(t.Context(), "anna", "a", request); !errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v, want %q", request, err, says)
			}
		}
		if _, err := w.controller.Allow(t.Context(), "anna", "b", reconciler.AllowRequest{Host: "x.example"}); !errors.Is(err, reconciler.ErrNoBottle) {
			t.Errorf("another bottle: %v", err)
		}
	})
}

// TestAllowIsTakenBack when the bottle does not become ready with it.
func TestAllowIsTakenBack(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		w.dislikeNPM()
		w.run(nil)
		w.hands.Remove(name("pipelock", "a")) // it gets the program above
		w.settle(time.Minute)
		if p := w.allow("registry.npmjs.org"); p.Decision.Status != queue.Failed || !strings.Contains(p.Message, "pipelock") {
			t.Errorf("%+v", p)
		}
		if text := w.files.text(t); text != supervised {
			t.Errorf("the manifest:\n%s", text)
		}
	})
}

// TestAllowThatCannotBeWritten ends, and leaves nothing behind.
func TestAllowThatCannotBeWritten(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		w.aroundDesk = func(write approve.Write, do func() error) error {
			if write == approve.WriteManifest {
				return os.ErrPermission
			}
			return do()
		}
		w.run(nil)
		w.settle(time.Minute)
		if p := w.allow("registry.npmjs.org"); p.Decision.Status != queue.Failed || !strings.Contains(p.Message, "permission denied") {
			t.Errorf("%+v", p)
		}
		if all := w.decisions(); len(all) != 1 || all[0].Action != queue.ActionVoid {
			t.Errorf("%+v", all)
		}
		if text := w.files.text(t); text != supervised {
			t.Errorf("the manifest:\n%s", text)
		}
	})
}

// TestAllowOverARestart: the decision is taken up, carried out once, and nobody is answered.
func TestAllowOverARestart(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		w.aroundDesk = func(write approve.Write, do func() error) error {
			if write == approve.RemoveJournal {
				return os.ErrPermission
			}
			return do()
		}
		w.run(nil)
		w.settle(time.Minute)
		id, err := w.controller.Allow(t.Context(), "anna", "a", reconciler.AllowRequest{Host: "registry.npmjs.org"})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		w.aroundDesk = nil
		w.run(nil)
		w.pass(10 * time.Second)
		if p := w.proposal(id); p.State != reconciler.ProposalAnswered || p.Decision.Status != queue.Approved || !p.Own {
			t.Errorf("%+v", p)
		}
		if all := w.decisions(); len(all) != 1 {
			t.Errorf("%+v", all)
		}
		if _, err := os.Stat(w.settings.QueueDir("a")); err == nil {
			t.Error("the agent's queue was touched")
		}
	})
}
