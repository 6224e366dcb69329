package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// TestVolumes follows a volume from its bottle to an orphan, and to its end.
func TestVolumes(t *testing.T) {
	s, _, e, dir := newService(t)
	declare := func(agent string) {
		t.Helper()
		reconcileManifest(t, s, dir, "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: one}\nspec:\n  agent: {image: 'agent:1', command: [wait]"+agent+"}\n")
	}
	const both = ", volumes: [{name: home, target: /home}, {name: tmp, target: /scratch, retain: false}]"
	declare(both)
	if err := e.Hands().CreateVolume(state.Volume{Name: "elses", Labels: map[string]string{state.LabelOwner: "somebody"}}); err != nil {
		t.Fatal(err)
	}
	wantVolumes(t, s, "p-volume-home.one in use p-agent-one retained=true", "p-volume-tmp.one in use p-agent-one retained=false")
	if _, err := SelectVolumes(listVolumes(t, s), []string{"p-volume-home.one", "elses"}); err == nil ||
		!strings.Contains(err.Error(), "p-volume-home.one is in use by p-agent-one") || !strings.Contains(err.Error(), `no volume "elses"`) {
		t.Errorf("selected: %v", err)
	}
	if err := s.RemoveVolume(t.Context(), listVolumes(t, s)[0]); !errors.Is(err, engine.ErrConflict) {
		t.Errorf("one in use is removed: %v", err)
	}
	declare(strings.Replace(both, "{name: home, target: /home}, ", "", 1))
	wantVolumes(t, s, "p-volume-home.one orphan  retained=true", "p-volume-tmp.one in use p-agent-one retained=false")
	if err := e.Hands().Remove("p-agent-one"); err != nil {
		t.Fatal(err)
	}
	wantVolumes(t, s, "p-volume-home.one orphan  retained=true", "p-volume-tmp.one unused  retained=false")
	if _, err := s.Delete(t.Context(), []string{"one"}, nil); err != nil {
		t.Fatal(err)
	}
	wantVolumes(t, s, "p-volume-home.one orphan  retained=true")
	orphans, err := SelectVolumes(listVolumes(t, s), nil)
	if err != nil || len(orphans) != 1 || orphans[0].State != reconciler.VolumeOrphan {
		t.Fatalf("orphans: %+v, %v", orphans, err)
	}
	if err := s.RemoveVolume(t.Context(), orphans[0]); err != nil {
		t.Error(err)
	}
	wantVolumes(t, s)
}

// reconcileManifest writes the manifest and makes a pass.
func reconcileManifest(t *testing.T, s *Service, dir, manifest string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	result, err := s.Reconcile(t.Context(), snapshot, pass.Options{Prune: plan.PruneGuarded}, nil)
	if err != nil || len(result.Failed) > 0 {
		t.Fatalf("%v: %+v", err, result.Failed)
	}
}

func listVolumes(t *testing.T, s *Service) []Volume {
	t.Helper()
	all, err := s.Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantVolumes(t *testing.T, s *Service, want ...string) {
	t.Helper()
	got := []string{}
	for _, v := range listVolumes(t, s) {
		got = append(got, fmt.Sprintf("%s %s %s retained=%t", v.Name, v.State, strings.Join(v.UsedBy, ","), v.Retained))
		if v.Created.IsZero() || v.Bottle != "one" || !strings.Contains(v.Name, v.Volume) {
			t.Errorf("%+v", v)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("volumes %q, want %q", got, want)
	}
}
