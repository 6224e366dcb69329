package gitsource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	listed  = []string{"GET /info/refs"}
	fetched = []string{"GET /info/refs", "GET /info/refs", "POST /git-upload-pack"}
)

func checkRequests(t testing.TB, r *upstream, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, r.seen()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestFollow(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{
		"bottles/a.yaml": "a", "bottles/sub/run.sh": "+x:#!/bin/sh\n", "bottles/link": "->a.yaml", "up": "->bottles/sub/../a.yaml",
		"empty": "", "ümläut and space": "x", ".gitignore": "*.log", "x.log": "tracked although ignored", "big": strings.Repeat("0123456789", 1<<20),
		".gitattributes": "* text eol=crlf", "lines": "one\ntwo\n", "con.aux": "x", "back\\slash": "x",
	}
	first := r.commit("first", files)
	dir := filepath.Join(t.TempDir(), "deep", "git")
	s := open(t, Options{URL: r.url, Dir: dir})
	if s.Revision() != "" {
		t.Errorf("the revision is %q before the first pull", s.Revision())
	}
	if _, err := s.Path(""); err == nil || !strings.Contains(err.Error(), "nothing of "+r.url) {
		t.Error(err)
	}
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, files)
	checkRequests(t, r, fetched)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	bottles, err := s.Path("bottles/")
	if err != nil || bottles != filepath.Join(dir, "tree", "bottles") {
		t.Error(bottles, err)
	}

	pull(t, s, false)
	checkRequests(t, r, listed)

	delete(files, "up")
	delete(files, "bottles/sub/run.sh")
	files["bottles/a.yaml"] = "new"
	files["bottles/link"] = "a file now"
	files["empty"] = "->bottles"
	files["big"] += "and a bit more" // a delta of a large object
	files["bottles/sub"] = "a file where a directory was"
	files["lines/one"] = "and the other way round"
	delete(files, "lines")
	second := r.commit("second", files)
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, files)
	checkRequests(t, r, fetched)
	if now, err := filepath.EvalSymlinks(bottles); err != nil || now != bottles {
		t.Errorf("the path was %s and is %s, so that every bottle's manifest seems to have moved: %v", bottles, now, err)
	}

	third := r.commit("all gone", map[string]string{})
	pull(t, s, true)
	check(t, s, "main@sha1:"+third, map[string]string{})
	if _, err := s.Path("bottles"); err == nil || !strings.Contains(err.Error(), "no directory bottles at main@sha1:"+third) {
		t.Error(err)
	}
}

func TestForcePush(t *testing.T) {
	r := newRepository(t)
	base := r.commit("base", map[string]string{"a": "0"})
	for i := range 5 {
		r.commit(fmt.Sprint(i), map[string]string{"a": fmt.Sprint(i)})
	}
	s := open(t, Options{URL: r.url + "#main"})
	pull(t, s, true)
	r.seen()

	r.git("reset", "--quiet", "--hard", base)
	pull(t, s, true)
	check(t, s, "main@sha1:"+base, map[string]string{"a": "0"})
	checkRequests(t, r, fetched) // earlier commits are not kept

	r.git("checkout", "--quiet", "--orphan", "other")
	other := r.commit("no common history", map[string]string{"b": "1"})
	r.git("branch", "--force", "main", "other")
	r.git("reflog", "expire", "--expire=now", "--all")
	r.git("gc", "--quiet", "--prune=now") // so that the server does not know what we have
	pull(t, s, true)
	check(t, s, "main@sha1:"+other, map[string]string{"b": "1"})
	checkRequests(t, r, fetched)
}

func TestBranches(t *testing.T) {
	r := newRepository(t)
	main := r.commit("on main", map[string]string{"a": "main"})
	r.git("tag", "v1")
	r.git("checkout", "--quiet", "-b", "team/fix#12")
	fix := r.commit("on the branch", map[string]string{"a": "fix"})
	r.git("checkout", "--quiet", "main")

	s := open(t, Options{URL: r.url + "#team/fix#12"})
	pull(t, s, true)
	check(t, s, "team/fix#12@sha1:"+fix, map[string]string{"a": "fix"})
	full := open(t, Options{URL: r.url + "#refs/heads/main"})
	pull(t, full, true)
	check(t, full, "main@sha1:"+main, map[string]string{"a": "main"})
	if full.String() != r.url+"#main" {
		t.Error(full)
	}
	pullFails(t, open(t, Options{URL: r.url + "#mian"}), `no branch "mian"`, "its branches are main, team/fix#12", "nothing is checked out yet")
	pullFails(t, open(t, Options{URL: r.url + "#v1"}), `"v1" is a tag, and only branches are followed`)

	r.git("branch", "--quiet", "-D", "team/fix#12")
	pullFails(t, s, `no branch "team/fix#12"; its branches are main`)
	check(t, s, "team/fix#12@sha1:"+fix, map[string]string{"a": "fix"})
}

func TestDefaultBranch(t *testing.T) {
	r := newRepository(t)
	commit := r.commit("x", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	r.git("branch", "--move", "main", "trunk")
	r.seen()
	pull(t, s, true)
	check(t, s, "trunk@sha1:"+commit, map[string]string{"a": "1"})
	r.git("checkout", "--quiet", "--detach")
	r.commit("on no branch", map[string]string{"a": "2"})
	pullFails(t, s, "HEAD is on no branch")
	pullFails(t, open(t, Options{URL: r.dir}), "names no default branch", "its branches are trunk")
	s = open(t, Options{URL: r.dir + "#trunk"})
	pull(t, s, true)
	check(t, s, "trunk@sha1:"+commit, map[string]string{"a": "1"})
}

func TestUnusableRepositories(t *testing.T) {
	r := newRepository(t)
	pullFails(t, open(t, Options{URL: r.url}), "the repository is empty")
	pullFails(t, open(t, Options{URL: r.url + "x"}), "there is no such repository")
	pullFails(t, open(t, Options{URL: filepath.Join(r.dir, "nowhere")}), "there is no such repository")
}

func TestPathStaysInside(t *testing.T) {
	r := newRepository(t)
	r.commit("x", map[string]string{"dir/a": "1", "link": "->dir", "dir/self": "->."})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	root := s.path(treeName)
	for sub, want := range map[string]string{
		"": root, ".": root, "dir": root + "/dir", "./dir//": root + "/dir", "link": root + "/link",
		"dir/self/self": root + "/dir/self/self", "dir/..": root,
	} {
		if got, err := s.Path(sub); err != nil || got != want {
			t.Errorf("%q: %s %v", sub, got, err)
		}
	}
	if err := errors.Join(os.Symlink("/etc", root+"/etc"), os.Symlink("../..", root+"/up")); err != nil {
		t.Fatal(err)
	}
	for sub, word := range map[string]string{
		"..": "not a path inside", "../tree": "not a path inside", "dir/../../repository": "not a path inside",
		"/etc": "not a path inside", root: "not a path inside",
		"etc": "escapes", "up/git": "escapes", "dir/a": "is not a directory", "nothing": "no directory nothing at main@sha1:",
	} {
		if got, err := s.Path(sub); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %s %v", sub, got, err)
		}
	}
}

func TestLocalRepository(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	bare := filepath.Join(t.TempDir(), "bare#1.git")
	r.git("clone", "--quiet", "--bare", r.dir, bare)
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "--quiet", linked, "-b", "side")
	t.Chdir(filepath.Dir(r.dir))
	for _, url := range []string{
		r.dir, "bottles", "./bottles#main", "file://" + r.dir, "file://" + strings.ReplaceAll(bare, "#", "%23"), linked + "#main",
	} {
		t.Run(url, func(t *testing.T) {
			s := open(t, Options{URL: url})
			pull(t, s, true)
			check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
			pull(t, s, false)
		})
	}
	s := open(t, Options{URL: "bottles"})
	if s.String() != r.dir {
		t.Error(s)
	}
	pull(t, s, true)
	second := r.commit("second", map[string]string{"a": "2"})
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})
	r.git("checkout", "--quiet", "--orphan", "other")
	third := r.commit("third", map[string]string{"a": "3"})
	r.git("branch", "--force", "main", "other")
	r.git("reflog", "expire", "--expire=now", "--all")
	r.git("gc", "--quiet", "--prune=now")
	r.git("checkout", "--quiet", "main")
	pull(t, s, true)
	check(t, s, "main@sha1:"+third, map[string]string{"a": "3"})
	if len(r.seen()) != 0 {
		t.Error("the server was asked")
	}
}

func TestBadOptions(t *testing.T) {
	token := func() (string, error) { return "x", nil }
	for _, c := range []struct {
		o    Options
		word string
	}{
		{Options{URL: ""}, "no URL"},
		{Options{URL: "#main"}, "no URL"},
		{Options{URL: "https://secret@example.com/x"}, "take them out and give a token file"},
		{Options{URL: "https://git:secret@example.com/x#main"}, "take them out and give a token file"},
		{Options{URL: "https://git:se#secret@example.com/x"}, "can't be read"},
		{Options{URL: "https://git:12#secret@example.com/x"}, "lacks a host or a path"},
		{Options{URL: "https://example.com/x?private_token=secret"}, "has a query"},
		{Options{URL: "https://exa mple.com/%secret"}, "can't be read"},
		{Options{URL: "https:///x"}, "lacks a host"},
		{Options{URL: "ssh://git:secret@example.com/x"}, "password"},
		{Options{URL: "git:secret@example.com:x"}, "password"},
		{Options{URL: "git://example.com/x"}, "can't be fetched over git"},
		{Options{URL: "ftp://example.com/x"}, "can't be fetched over ftp"},
		{Options{URL: "file://srv/x"}, "absolute path"},
		{Options{URL: "/x#"}, "no branch follows"},
		{Options{URL: "/x#refs/tags/v1"}, "only branches are followed"},
		{Options{URL: "/x#a..b"}, "can't be the name of a branch"},
		{Options{URL: "/x", Token: token}, "a token is for http"},
		{Options{URL: "git@example.com:x", Token: token}, "a token is for http"},
		{Options{URL: "/x", Dir: "none"}, "no directory is given"},
		{Options{URL: "/x", Timeout: -1}, "must be positive"},
		{Options{URL: "/x", Keys: []byte(" \n")}, "is empty"},
		{Options{URL: "/x", Keys: []byte("secret")}, "armored"},
		{Options{URL: "/x", Keys: []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nsecret\n-----END PGP PUBLIC KEY BLOCK-----")}, "can't be read"},
		{Options{URL: "/x", Dir: "/dev/null/x"}, "not a directory"},
	} {
		switch c.o.Dir {
		case "":
			c.o.Dir = t.TempDir()
		case "none":
			c.o.Dir = ""
		}
		_, err := Open(c.o)
		if err == nil || !strings.Contains(err.Error(), c.word) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := newRepository(t)
	r.commit("x", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := s.Pull(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for range 50 {
				if path, err := s.Path(""); err != nil && path != "" || s.String() == "" || len(s.Revision()) == 1 {
					t.Error(path, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPullUnchanged(b *testing.B) {
	for _, n := range []int{20, 500, 5000} {
		b.Run(fmt.Sprintf("%d-files", n), func(b *testing.B) {
			r := newRepository(b)
			r.commit("x", manyFiles(n, 1))
			s := open(b, Options{URL: r.url})
			pull(b, s, true)
			for b.Loop() {
				pull(b, s, false)
			}
		})
	}
}
