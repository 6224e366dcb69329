package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/approve"
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

// TestProposeBranch: a change is a signed-off branch, which is pushed only where that is configured, and what can't be one is refused.
func TestProposeBranch(t *testing.T) {
	dir := t.TempDir()
	commitManifest(t, dir)
	g := openGit(t, dir)
	g.pull(t.Context())
	root, err := g.repository.Path("")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "one.yaml")
	if err := g.Editable(file, safepath.Set{}); err != nil {
		t.Errorf("%v", err)
	}
	if err := g.Editable(filepath.Join(dir, "one.yaml"), safepath.Set{}); err == nil || !strings.Contains(err.Error(), "change it by hand") {
		t.Errorf("a file elsewhere: %v", err)
	}
	b := approve.Branch{Name: "bottled/proposal-1", File: file, Before: []byte(agentManifest), After: []byte(agentManifest + "# more\n"), Message: "Allow\n\nID: 1\n", By: "Ann <x>\nB", Time: time.Now()}
	made, err := g.Propose(t.Context(), b)
	if err != nil || made.Pushed || !strings.Contains(made.Patch, "ID: 1\nSigned-off-by: Ann xB <Ann-xB@") || !strings.Contains(made.Patch, "+# more") {
		t.Errorf("%+v, %v", made, err)
	}
	there := func() bool {
		repository, err := git.PlainOpen(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = repository.Reference(plumbing.NewBranchReferenceName(b.Name), false)
		return err == nil
	}
	if there() {
		t.Error("it is pushed")
	}
	g.push = true
	if made, err = g.Propose(t.Context(), b); err != nil || !made.Pushed || !there() {
		t.Errorf("%+v, %v", made, err)
	}
	b.Before = []byte("another")
	if _, err := g.Propose(t.Context(), b); !errors.Is(err, edit.ErrChanged) {
		t.Errorf("%v", err)
	}
}
