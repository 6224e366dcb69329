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
	if _, err := s.Validate([]string{Stdin, dir}); err == nil {
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
