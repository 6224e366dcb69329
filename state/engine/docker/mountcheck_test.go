package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

type mounted map[string]safepath.ID

func (m mounted) mountIDs(context.Context, string) (map[string]safepath.ID, error) { return m, nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMountsThatWereReplaced are refused before a container is started, and after.
func TestMountsThatWereReplaced(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("a/work"), 0o700))
	o, err := safepath.Open(at("a/work"))
	must(t, err)
	mounts := []state.Mount{{Source: o.Real, Target: "/work", ID: o.ID}}
	must(t, o.Close())
	f := &files{settings: state.Settings{StateDir: "/var/lib/bottled", RunDir: "/run/bottled/x"}}
	must(t, f.checkMounts(mounts))
	for what, replace := range map[string]func() error{
		"by another directory":  func() error { return os.MkdirAll(at("a/work"), 0o700) },
		"by a link to itself":   func() error { return os.Symlink("../moved/work", at("a")) },
		"by a link to another":  func() error { return os.Symlink("/", at("a")) },
		"by nothing":            func() error { return nil },
		"by a link in its name": func() error { return errors.Join(os.Mkdir(at("a"), 0o700), os.Symlink("../moved/work", at("a/work"))) },
	} {
		must(t, os.Rename(at("a"), at("moved")))
		must(t, replace())
		if err := f.checkMounts(mounts); !errors.Is(err, state.ErrMount) {
			t.Errorf("replaced %s: %v", what, err)
		}
		must(t, os.RemoveAll(at("a")))
		must(t, os.Rename(at("moved"), at("a")))
		must(t, f.checkMounts(mounts))
	}
	for what, ids := range map[string]mounted{"another one": {"/work": {Dev: 1, Ino: 2}}, "nothing": {}} {
		if err := checkMounted(t.Context(), ids, "id", mounts); !errors.Is(err, state.ErrMount) {
			t.Errorf("%s is mounted: %v", what, err)
		}
	}
	must(t, checkMounted(t.Context(), mounted{"/work": mounts[0].ID}, "id", mounts))
	must(t, checkMounted(t.Context(), mounted(nil), "id", mounts)) // it can't be checked
}
