package service

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// TestRecordRemembersTheFile: another process, too, knows that a file declared a bottle, and does not remove it for looking different.
func TestRecordRemembersTheFile(t *testing.T) {
	s, _, e, dir := newService(t)
	ctx := t.Context()
	reconcile := func() (problems int) {
		t.Helper()
		snapshot, err := s.Load([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reconcile(ctx, snapshot, pass.Options{Prune: plan.PruneAll}, nil); err != nil {
			t.Fatal(err)
		}
		return len(snapshot.Problems)
	}
	containers := func() int {
		t.Helper()
		all, err := e.Containers(ctx, "me", "")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if reconcile() != 0 || containers() != 2 {
		t.Fatalf("%d containers of a bottle with an agent", containers())
	}
	path := filepath.Join(dir, "one.yaml")
	for _, text := range []string{"", "services: {}\n", "# a comment\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if problems := reconcile(); problems != 1 || containers() != 2 {
			t.Errorf("the file has %q: %d problems, %d containers", text, problems, containers())
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if reconcile() != 0 || containers() != 0 {
		t.Errorf("the file is gone, and there are %d containers", containers())
	}
}
