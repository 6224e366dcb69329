package gitsource

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func aChange(s *Source, file string) Change {
	return Change{
		Branch: "bottled/proposal-1", File: s.path(treeName + "/" + file), Before: []byte("one\n"), After: []byte("two\n"),
		Author: "Bot Tled <bottled@example.com>", Message: "Allow a.example\n\nIt is needed.\n\nSigned-off-by: ann <ann@example.com>\n", Time: time.Date(2026, 11, 27, 12, 0, 0, 1, time.UTC),
	}
}

// TestPropose: a change is one commit on a branch of its own, the same one each time, and git takes its patch. It is pushed when that is asked.
func TestPropose(t *testing.T) {
	r := newRepository(t)
	r.git("config", "http.receivepack", "true")
	files := map[string]string{"a/b/dev.yaml": "one\n", "a/other": "x", "+run": "#!/bin/sh\n"}
	base := r.commit("first", files)
	for kind, url := range map[string]string{"server": r.url, "local": r.dir} {
		t.Run(kind, func(t *testing.T) {
			s := open(t, Options{URL: url})
			pull(t, s, true)
			c := aChange(s, "a/b/dev.yaml")
			c.Branch += kind
			commit, patch, err := s.Propose(c)
			if err != nil {
				t.Fatal(err)
			}
			if again, _, err := s.Propose(c); err != nil || again != commit {
				t.Errorf("another one: %s, %v", again, err)
			}
			if got := r.git("branch", "--list", "--format=%(refname:short)"); strings.Contains(got, c.Branch) {
				t.Errorf("it is pushed: %s", got)
			}
			if err := s.Push(t.Context(), c.Branch); err != nil {
				t.Fatal(err)
			}
			if err := s.Push(t.Context(), c.Branch); err != nil {
				t.Errorf("pushed again: %v", err)
			}
			if got := r.git("rev-parse", c.Branch, c.Branch+"^", "main"); got != strings.Join([]string{commit, base, base}, "\n") {
				t.Errorf("the branch, its parent and main are\n%s", got)
			}
			if got := r.git("diff", "--stat", "main", c.Branch); !strings.Contains(got, "a/b/dev.yaml | 2 +-\n 1 file changed") {
				t.Errorf("the change is\n%s", got)
			}
			want := "Bot Tled <bottled@example.com> 1795780800 Allow a.example|It is needed.\n\nSigned-off-by: ann <ann@example.com>\n|ann <ann@example.com>"
			if got := r.git("log", "-1", "--format=%an <%ae> %at %s|%b|%(trailers:key=Signed-off-by,valueonly)", c.Branch); got != want {
				t.Errorf("the commit is %q", got)
			}
			r.git("fsck", "--strict")
			work := filepath.Join(t.TempDir(), "work")
			r.git("clone", "--quiet", "--branch", "main", r.dir, work)
			r.gitInput(patch, "-C", work, "am", "--quiet")
			if got := r.git("-C", work, "rev-parse", "HEAD^{tree}"); got != r.git("rev-parse", c.Branch+"^{tree}") {
				t.Errorf("git am makes %s of\n%s", got, patch)
			}
			check(t, s, "main@sha1:"+base, files)
		})
	}
}

func TestProposeRefuses(t *testing.T) {
	r := newRepository(t)
	r.commit("first", map[string]string{"dev.yaml": "one\n", "link": "->dev.yaml", "dir/x": "one\n"})
	s := open(t, Options{URL: r.url})
	if _, _, err := s.Propose(aChange(s, "dev.yaml")); err == nil {
		t.Error("nothing is checked out")
	}
	pull(t, s, true)
	for file, moved := range map[string]bool{"dev.yaml/x": false, "link": false, "dir": false, "new": true, "dir/y": true, "../x": false} {
		if _, _, err := s.Propose(aChange(s, file)); err == nil || errors.Is(err, ErrMoved) != moved {
			t.Errorf("%s: %v", file, err)
		}
	}
	c := aChange(s, "dev.yaml")
	c.Before = []byte("three\n")
	if _, _, err := s.Propose(c); !errors.Is(err, ErrMoved) {
		t.Errorf("another content: %v", err)
	}
	c = aChange(s, "dev.yaml")
	c.Author = "nobody"
	if _, _, err := s.Propose(c); err == nil || !strings.Contains(err.Error(), "no author") {
		t.Errorf("%v", err)
	}
}

// TestPushRefused: the server's sentence is in the error, and what it has is kept.
func TestPushRefused(t *testing.T) {
	r := newRepository(t)
	base := r.commit("first", map[string]string{"dev.yaml": "one\n"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	c := aChange(s, "dev.yaml")
	if _, _, err := s.Propose(c); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), c.Branch); err == nil || !strings.Contains(err.Error(), "give some that may push") {
		t.Errorf("a server that takes no pushes: %v", err)
	}
	r.git("config", "http.receivepack", "true")
	hook := filepath.Join(r.dir, ".git", "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'no branches on Friday' >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), c.Branch); err == nil || !strings.Contains(err.Error(), "pre-receive hook declined: no branches on Friday") {
		t.Errorf("a hook: %v", err)
	}
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	r.git("branch", c.Branch, "main")
	r.git("commit", "--quiet", "--allow-empty", "--message", "elsewhere")
	r.git("branch", "--force", c.Branch, "main")
	there := r.git("rev-parse", c.Branch)
	if err := s.Push(t.Context(), c.Branch); err == nil {
		t.Error("a branch that is there is overwritten")
	}
	if got := r.git("rev-parse", c.Branch); got != there || got == base {
		t.Errorf("the branch is %s", got)
	}
	if err := s.Push(t.Context(), "main"); err == nil || !strings.Contains(err.Error(), "is followed") {
		t.Errorf("the followed branch: %v", err)
	}
}
