package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSession(t *testing.T) {
	agent := Container{
		Name: "p-agent-dev", Image: "i", Command: []string{"agent"}, Env: map[string]string{"A": "b"}, Labels: map[string]string{LabelRole: "agent", LabelHash: "x"},
		Networks: []Attachment{{Network: "p-net-dev", Aliases: []string{"agent"}}}, Limits: Limits{Pids: 7}, Log: Log{Driver: "json-file"},
	}
	b := Bottle{Slug: "dev", Members: []Member{{Part: Pipelock}, {Part: Agent, Container: agent}}}
	before := cmp.Diff(b, Bottle{})
	got, err := b.Session("p", []string{"sh"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.Session("p", nil)
	if err != nil || other.Name == got.Name || other.Command[0] != "agent" {
		t.Errorf("another session: %+v, %v", other, err)
	}
	want := agent
	want.Name, want.Command, want.Log = got.Name, []string{"sh"}, Log{Driver: "none"}
	want.Networks = []Attachment{{Network: "p-net-dev"}}
	want.Labels = map[string]string{LabelRole: "run", LabelHash: got.Hash()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if cmp.Diff(b, Bottle{}) != before {
		t.Error("making a session changed the bottle")
	}
	if _, err := (Bottle{Members: b.Members[:1]}).Session("p", nil); !errors.Is(err, ErrNoAgent) {
		t.Errorf("without an agent: %v", err)
	}
}

// TestHoldSession: a session is held until it is released, and what a killed process left is swept away.
func TestHoldSession(t *testing.T) {
	s := Settings{StateDir: t.TempDir()}
	if sessionHeld(s, "a") {
		t.Error("held before it was")
	}
	release, err := HoldSession(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // asking changes nothing
		if !sessionHeld(s, "a") {
			t.Error("not held")
		}
	}
	stale := filepath.Join(s.sessionDir(), "stale")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if sessionHeld(s, "stale") {
		t.Error("what nobody holds is held")
	}
	releaseOther, err := HoldSession(s, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) || !sessionHeld(s, "a") || !sessionHeld(s, "b") {
		t.Errorf("after the sweep: stale file %v, held a %t b %t", err, sessionHeld(s, "a"), sessionHeld(s, "b"))
	}
	if err := errors.Join(release(), releaseOther()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.sessionDir()); err != nil || len(left) > 0 || sessionHeld(s, "a") {
		t.Errorf("left: %v, %v", left, err)
	}
}
