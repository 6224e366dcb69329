package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bot-bottle/bottled/state"
)

// TestHoldSession: a session is held until it is released, and what a killed process left is swept away.
func TestHoldSession(t *testing.T) {
	s := state.Settings{StateDir: t.TempDir()}
	if SessionLocked(s, "a") {
		t.Error("held before it was")
	}
	release, err := LockSession(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // asking changes nothing
		if !SessionLocked(s, "a") {
			t.Error("not held")
		}
	}
	stale := filepath.Join(s.SessionDir(), "stale")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if SessionLocked(s, "stale") {
		t.Error("what nobody holds is held")
	}
	releaseOther, err := LockSession(s, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) || !SessionLocked(s, "a") || !SessionLocked(s, "b") {
		t.Errorf("after the sweep: stale file %v, held a %t b %t", err, SessionLocked(s, "a"), SessionLocked(s, "b"))
	}
	if err := errors.Join(release(), releaseOther()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.SessionDir()); err != nil || len(left) > 0 || SessionLocked(s, "a") {
		t.Errorf("left: %v, %v", left, err)
	}
}
