package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// reconcileOnce makes a pass with the manifests in a directory.
func reconcileOnce(t *testing.T, s *Service, policy plan.PrunePolicy, paths ...string) {
	t.Helper()
	snapshot, err := s.Load(paths)
	if err != nil || len(snapshot.Problems) > 0 {
		t.Fatalf("%+v, %v", snapshot.Problems, err)
	}
	if result, err := s.Reconcile(t.Context(), snapshot, pass.Options{Prune: policy}, nil); err != nil || len(result.Failed) > 0 {
		t.Fatalf("%+v, %v", result.Failed, err)
	}
}

func namesOnEngine(t *testing.T, s *Service) []string {
	t.Helper()
	all, err := s.OwnedBottles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range all {
		names = append(names, b.Bottle)
	}
	return names
}

// A part of the manifests is reconciled, and what others declare stays: whether it comes from a file or from stdin.
func TestPartOfTheManifests(t *testing.T) {
	s, _, _, dir := newService(t)
	reconcileOnce(t, s, plan.PruneGuarded, dir)
	two := filepath.Join(t.TempDir(), "two.yaml")
	if err := os.WriteFile(two, []byte(strings.ReplaceAll(agentManifest, "one", "two")), 0o600); err != nil {
		t.Fatal(err)
	}
	reconcileOnce(t, s, plan.PrunePartial, two)
	s.Stdin = strings.NewReader(strings.ReplaceAll(agentManifest, "one", "three"))
	reconcileOnce(t, s, plan.PrunePartial, Stdin)
	if got := namesOnEngine(t, s); !slices.Equal(got, []string{"one", "three", "two"}) {
		t.Errorf("there are %q", got)
	}
	if _, err := s.Validate(t.Context(), []string{Stdin, dir}); err == nil {
		t.Error("stdin and a directory are taken at once")
	}
	reconcileOnce(t, s, plan.PruneAll, two) // the same as the whole
	if got := namesOnEngine(t, s); !slices.Equal(got, []string{"two"}) {
		t.Errorf("there are %q", got)
	}
}

func TestUsageAndOwners(t *testing.T) {
	s, _, _, dir := newService(t)
	reconcileOnce(t, s, plan.PruneGuarded, dir)
	source, err := s.StatusSource()
	if err != nil {
		t.Fatal(err)
	}
	status, err := source.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	usage, err := s.Usage(t.Context(), status)
	if used := usage["p-agent-one"]; err != nil || len(usage) != 2 || used.Memory == 0 {
		t.Errorf("%+v, %v", usage, err)
	}
	s.Settings.Owner = "somebody" // who sees them, too
	all, err := s.OwnedBottles(t.Context())
	want := OwnedBottle{Owner: "me", Bottle: "one", Containers: 2, Running: 2, StateDir: s.Settings.StateDir}
	if err != nil || !slices.Equal(all, []OwnedBottle{want}) {
		t.Errorf("%+v, %v", all, err)
	}
	names, err := s.BottleNames(t.Context())
	if err != nil || len(names) > 0 {
		t.Errorf("of another owner: %v, %v", names, err)
	}
	s.Settings.Owner = "me"
	if names, err = s.BottleNames(t.Context()); err != nil || !slices.Equal(names["one"], []state.ComponentName{state.Pipelock, state.Agent}) {
		t.Errorf("%v, %v", names, err)
	}
}

// Beside a controller, delete names the manifest to remove; beside another pass it says who is in the way.
func TestDeleteBesideController(t *testing.T) {
	s, _, _, dir := newService(t)
	reconcileOnce(t, s, plan.PruneGuarded, dir)
	release, err := store.Lock(s.Settings.StateDir, "me")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), []string{"one"}, nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("beside a pass: %v", err)
	}
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("one", "Ready", "")))
	server, err := api.Listen(t.Context(), api.Options{Source: source, Metrics: prometheus.NewRegistry(), Socket: filepath.Join(s.Settings.RunDir, "controller.sock")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	for names, says := range map[string]string{"one": "one: " + filepath.Join(dir, "one.yaml"), "": "one: " + filepath.Join(dir, "one.yaml"), "oen": "did you mean one?"} {
		if _, err := s.Delete(t.Context(), strings.Fields(names), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("delete %s: %v, want %q", names, err, says)
		}
	}
	cancel()
	if err := errors.Join(<-served, release()); err != nil {
		t.Error(err)
	}
}

func TestCopy(t *testing.T) {
	s, _, _, dir := newService(t)
	work := t.TempDir()
	manifest := strings.Replace(agentManifest, "command: [wait]", "command: [wait], mounts: [{source: "+work+", target: /work}]", 1)
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	reconcileOnce(t, s, plan.PruneGuarded, dir)
	local, agent := t.TempDir(), Target{"one", state.Agent}
	if err := errors.Join(os.MkdirAll(filepath.Join(local, "tree", "sub"), 0o700), os.WriteFile(filepath.Join(local, "tree", "sub", "file"), []byte("text"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if skipped, err := s.CopyTo(ctx, filepath.Join(local, "tree"), agent, "/"); err != nil || len(skipped) > 0 {
		t.Fatalf("%v, %v", skipped, err)
	}
	for name, c := range map[string]struct{ path, local, file string }{
		"into a directory": {"/tree", local + "/out", "out/tree/sub/file"},
		"under a new name": {"/tree", local + "/new", "new/sub/file"},
		"a file":           {"/tree/sub/file", local + "/copy.txt", "copy.txt"},
		"a file, again":    {"/tree/sub/file", local + "/copy.txt", "copy.txt"},
		"a file here":      {"/tree/sub/file", local, "file"},
	} {
		if err := os.MkdirAll(filepath.Join(local, "out"), 0o700); err != nil {
			t.Fatal(err)
		}
		skipped, err := s.CopyFrom(ctx, agent, c.path, c.local, 100)
		text, readErr := os.ReadFile(filepath.Join(local, c.file))
		if err := errors.Join(err, readErr); err != nil || len(skipped) > 0 || string(text) != "text" {
			t.Errorf("%s: %q, %v, %v", name, text, skipped, err)
		}
	}
	if err := os.Symlink(local, filepath.Join(work, "planted")); err != nil {
		t.Fatal(err)
	}
	for says, do := range map[string]func() error{
		"agent has no /none":                  func() error { _, err := s.CopyFrom(ctx, agent, "/none", local, 100); return err },
		"agent has no /no":                    func() error { _, err := s.CopyTo(ctx, local, agent, "/no/way"); return err },
		"--max-size":                          func() error { _, err := s.CopyFrom(ctx, agent, "/tree", local, 3); return err },
		"did you mean one?":                   func() error { _, err := s.CopyFrom(ctx, Target{"oen", state.Agent}, "/tree", local, 100); return err },
		"no such file":                        func() error { _, err := s.CopyTo(ctx, filepath.Join(local, "none"), agent, "/"); return err },
		"the agent of bottle one could write": func() error { _, err := s.CopyFrom(ctx, agent, "/tree", work, 100); return err },
		"one could write it":                  func() error { _, err := s.CopyFrom(ctx, agent, "/tree", work+"/planted/x", 100); return err },
		"bottle one could write it":           func() error { _, err := s.CopyTo(ctx, work+"/planted/tree", agent, "/"); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
