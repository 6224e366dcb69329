package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/state/store"
)

// commitManifest makes a repository with a manifest.
func commitManifest(t *testing.T, dir string) {
	t.Helper()
	repository, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(agentManifest), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := repository.Worktree()
	if err == nil {
		_, err = tree.Add("one.yaml")
	}
	if err == nil {
		_, err = tree.Commit("one", &git.CommitOptions{Author: &object.Signature{Name: "Ann", Email: "ann@example.com"}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openGit opens a Git source that has pulled nothing yet.
func openGit(t *testing.T, url string) *gitSource {
	t.Helper()
	s, _, _, _ := newService(t)
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := store.OpenWritableMemory(settings)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGitSource(GitOptions{URL: url}, t.TempDir(), memory, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.secrets.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

type readResult struct {
	snapshot source.Snapshot
	err      error
}

// TestFirstPullUnderWayIsNoError: Read waits for it, and then there is one error or none.
func TestFirstPullUnderWayIsNoError(t *testing.T) {
	good, missing := t.TempDir(), filepath.Join(t.TempDir(), "missing")
	commitManifest(t, good)
	for url, want := range map[string]string{good: "", missing: "there is no such repository"} {
		g := openGit(t, url)
		read := make(chan readResult)
		go func() {
			snapshot, _, err := g.Read()
			read <- readResult{snapshot, err}
		}()
		select {
		case r := <-read:
			t.Fatalf("%s: read before the pull: %v", url, r.err)
		case <-time.After(50 * time.Millisecond): // a wait that can only hide a failure
		}
		g.pull(t.Context())
		r := <-read
		_, pullErr := g.Revision()
		switch {
		case want == "" && (r.err != nil || pullErr != nil || len(r.snapshot.Bottles) != 1):
			t.Errorf("%+v, %v, %v", r.snapshot, r.err, pullErr)
		case want != "" && (r.err == nil || !strings.Contains(r.err.Error(), want) || strings.Count(r.err.Error(), "checked out") != 1 || pullErr != nil):
			t.Errorf("%v, and beside it %v", r.err, pullErr)
		}
	}
}
