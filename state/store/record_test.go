package store

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

func recorded(s state.Settings, path string) state.Bottle {
	return state.Bottle{
		Slug: "dev", Manifest: path, SpecHash: "0123456789abcdef", Generation: 7,
		Declared: v1alpha1.Bottle{Metadata: v1alpha1.Metadata{Name: "dev"}, Source: v1alpha1.Source{Path: path}},
		Networks: []state.Network{{Name: "p-net-dev", Internal: true}},
		Components: []state.Component{{
			Name: state.Agent, Container: state.Container{Name: "p-agent-dev", Image: "i", Labels: map[string]string{}}, DirPaths: []string{s.BottleDir("dev") + "/x"},
		}},
	}
}

func expectMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: mode %v, want %v; %v", path, info.Mode(), want, err)
	}
}

// TestRecordIsReadAsItWasSaved also where the directory was made for a sidecar's files, which others may read.
func TestRecordIsReadAsItWasSaved(t *testing.T) {
	s := state.Settings{StateDir: t.TempDir()}
	if err := os.MkdirAll(s.BottleDir("dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := recorded(s, "/etc/bottles/dev.yaml")
	if err := SaveRecord(s, want); err != nil {
		t.Fatal(err)
	}
	expectMode(t, s.BottleDir("dev"), 0o700)
	expectMode(t, filepath.Join(s.BottleDir("dev"), state.RecordFile), 0o600)
	compared := cmpopts.EquateComparable(netip.Prefix{}, safepath.ID{})
	got, found, err := ReadRecord(s, "dev")
	if diff := cmp.Diff(want, got, compared); err != nil || !found || diff != "" {
		t.Errorf("%v, %v (-want +got):\n%s", found, err, diff)
	}
	all, err := ReadRecords(s)
	if diff := cmp.Diff([]state.Bottle{want}, all, compared); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, found, err := ReadRecord(s, "other"); found || err != nil {
		t.Errorf("a bottle without a record: %v, %v", found, err)
	}
}

// TestRecordIsWrittenWhenItDiffers: a pass that changes nothing writes nothing.
func TestRecordIsWrittenWhenItDiffers(t *testing.T) {
	s := state.Settings{StateDir: t.TempDir()}
	path := filepath.Join(s.BottleDir("dev"), state.RecordFile)
	save := func(change func(*state.Bottle)) os.FileInfo {
		b := recorded(s, "/etc/bottles/dev.yaml")
		change(&b)
		if err := SaveRecord(s, b); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := save(func(*state.Bottle) {})
	if again := save(func(*state.Bottle) {}); !os.SameFile(first, again) {
		t.Error("the same record was written again")
	}
	if other := save(func(b *state.Bottle) { b.Generation++ }); os.SameFile(first, other) {
		t.Error("another generation was not recorded")
	}
	if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadRecord(s, "dev"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken record is read: %v", err)
	}
	save(func(*state.Bottle) {})
	if _, found, err := ReadRecord(s, "dev"); err != nil || !found {
		t.Errorf("a broken record is not replaced: %v", err)
	}
}

// TestRecordsOfBefore had no generation but the spec's digest under that name.
func TestRecordsOfBefore(t *testing.T) {
	s := state.Settings{StateDir: t.TempDir()}
	if err := os.MkdirAll(s.BottleDir("dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile("testdata/declared-0.1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.BottleDir("dev"), state.RecordFile), old, 0o600); err != nil {
		t.Fatal(err)
	}
	b, found, err := ReadRecord(s, "dev")
	if err != nil || !found || b.Generation != 1 || b.SpecHash != "2699149ff52d733c" {
		t.Fatalf("%v, %v, generation %d of %q", found, err, b.Generation, b.SpecHash)
	}
	if b.Manifest != "/etc/bottles/dev.yaml" || b.Declared.Metadata.Name != "dev" || b.Declared.Source.Path != b.Manifest {
		t.Errorf("%+v", b)
	}
	if len(b.Components) != 2 || b.Components[0].Name != state.Pipelock || b.Components[1].Container.Image != "my-agent:latest" {
		t.Errorf("%+v", b.Components)
	}
}
