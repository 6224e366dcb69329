package gitsource

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	listed  = []string{"GET /info/refs"}
	fetched = []string{"GET /info/refs", "POST /git-upload-pack"}
)

func checkRequests(t testing.TB, r *repository, want []string) {
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
	before, err := os.Stat(bottles)
	if err != nil {
		t.Fatal(err)
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
	if after, err := os.Stat(bottles); err != nil || !os.SameFile(before, after) {
		t.Errorf("the directory is another one, so that mounts of it are stale: %v", err)
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
	checkRequests(t, r, listed) // it is in the history that is here

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
	checkRequests(t, r, listed)
	r.git("checkout", "--quiet", "--detach")
	pullFails(t, s, "names no default branch", "its branches are trunk")
}

func TestUnusableRepositories(t *testing.T) {
	r := newRepository(t)
	pullFails(t, open(t, Options{URL: r.url}), "the repository is empty")
	pullFails(t, open(t, Options{URL: r.url + "x"}), "there is no such repository")
	pullFails(t, open(t, Options{URL: filepath.Join(r.dir, "nowhere")}), "there is no such repository")
}

func TestServerDownAndBack(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	second := r.commit("second", map[string]string{"a": "2"})
	hangUp := func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		conn.Close()
		return true
	}
	r.intercept(hangUp)
	pullFails(t, s, "EOF")
	r.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	pullFails(t, s, "503")
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool { // the answer breaks off in the middle of the pack
		if q.Method == http.MethodGet {
			return false
		}
		fmt.Fprint(w, "0008NAK\n0014\x01PACK\x00\x00\x00\x02\x00\x00\x00\x03")
		return true
	})
	pullFails(t, s, "fetch commit "+second)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	r.intercept(nil)
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	refused := open(t, Options{URL: "http://127.0.0.1:1/x"})
	pullFails(t, refused, "connection refused")
}

func TestSlowServer(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	dir := t.TempDir()
	s := open(t, Options{URL: r.url, Dir: dir})
	pull(t, s, true)
	r.commit("second", map[string]string{"a": "2"})
	s = open(t, Options{URL: r.url, Dir: dir, Timeout: 300 * time.Millisecond})

	for name, method := range map[string]string{"references": http.MethodGet, "pack": http.MethodPost} {
		t.Run(name, func(t *testing.T) {
			stuck := make(chan struct{})
			r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
				if q.Method != method {
					return false
				}
				if method == http.MethodPost {
					fmt.Fprint(w, "0008NAK\n0014\x01PACK\x00\x00\x00\x02\x00\x00\x00\x03")
					w.(http.Flusher).Flush()
				}
				select {
				case <-stuck:
				case <-q.Context().Done():
				}
				return true
			})
			defer close(stuck)
			began := time.Now()
			pullFails(t, s, "not done within 300ms")
			_, err := s.Pull(context.Background())
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err = s.Pull(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("three pulls took %s", took)
			}
			check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
		})
	}
	packs := filepath.Join(dir, s.current.Objects, "objects", "pack")
	writeFile(t, filepath.Join(packs, "tmp_pack_1"), "of a process that was killed")
	r.intercept(nil)
	pull(t, open(t, Options{URL: r.url, Dir: dir}), true)
	left, err := filepath.Glob(filepath.Join(packs, "tmp_*"))
	if err != nil || len(left) > 0 {
		t.Errorf("broken-off packs pile up: %v %v", left, err)
	}
}

func TestRestart(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"dir/a": "1", "b": "2"})
	dir := t.TempDir()
	pull(t, open(t, Options{URL: r.url, Dir: dir}), true)
	r.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	r.seen()
	for _, url := range []string{r.url, r.url + "#main"} {
		check(t, open(t, Options{URL: url, Dir: dir}), "main@sha1:"+first, map[string]string{"dir/a": "1", "b": "2"})
	}
	checkRequests(t, r, nil)
	for _, url := range []string{r.url + "#other", r.url + "/x"} {
		if s := open(t, Options{URL: url, Dir: dir}); s.Revision() != "" {
			t.Errorf("%s shows what another URL or branch had: %s", url, s.Revision())
		}
	}

	var s *Source
	for _, text := range []string{
		"", "{", fmt.Sprintf(`{"url":%q,"branch":"main","commit":%q,"objects":"../x"}`, r.url, first),
		fmt.Sprintf(`{"url":%q,"branch":"main","commit":"HEAD","objects":"objects-a"}`, r.url),
	} {
		writeFile(t, filepath.Join(dir, recordName), text)
		s = open(t, Options{URL: r.url, Dir: dir})
		pullFails(t, s, "502", "record of the earlier checkout is damaged")
	}
	r.intercept(nil)
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"dir/a": "1", "b": "2"})
}

func TestEditsAreUndone(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{"a": "1", "dir/b": "2", "dir/run": "+x:3", "link": "->a", "dir/sub/c": "4"}
	commit := r.commit("x", files)
	for name, edit := range map[string]func(root string) error{
		"content":         func(root string) error { return os.WriteFile(root+"/a", []byte("!"), 0o644) },
		"mode":            func(root string) error { return os.Chmod(root+"/a", 0o600) },
		"executable":      func(root string) error { return os.Chmod(root+"/dir/run", 0o644) },
		"removed":         func(root string) error { return os.RemoveAll(root + "/dir") },
		"added":           func(root string) error { return os.WriteFile(root+"/dir/new.yaml", nil, 0o644) },
		"added directory": func(root string) error { return os.MkdirAll(root+"/x/.git/y", 0o755) },
		"link":            func(root string) error { return errors.Join(os.Remove(root+"/link"), os.Symlink("/etc", root+"/link")) },
		"file to link": func(root string) error {
			return errors.Join(os.Remove(root+"/a"), os.Symlink("/etc/passwd", root+"/a"))
		},
		"closed directory": func(root string) error { return os.Chmod(root+"/dir", 0) },
		"all":              os.RemoveAll,
		"directory to link": func(root string) error {
			outside := filepath.Join(filepath.Dir(filepath.Dir(root)), "outside")
			return errors.Join(os.Rename(root+"/dir", outside), os.Symlink(outside, root+"/dir"), os.WriteFile(outside+"/b", []byte("!"), 0o644))
		},
	} {
		for _, again := range []string{"pull", "open"} {
			t.Run(name+" "+again, func(t *testing.T) {
				base := t.TempDir()
				dir := base + "/git"
				s := open(t, Options{URL: r.url, Dir: dir})
				pull(t, s, true)
				r.seen()
				if err := edit(dir + "/tree"); err != nil {
					t.Fatal(err)
				}
				writeFile(t, dir+"/incoming", "half a file")
				if again == "open" {
					s = open(t, Options{URL: r.url, Dir: dir})
				} else {
					pull(t, s, true)
					checkRequests(t, r, listed)
				}
				check(t, s, "main@sha1:"+commit, files)
				pull(t, s, false)
				if data, err := os.ReadFile(base + "/outside/b"); err == nil && string(data) != "!" {
					t.Error("a symlink was followed out of the checkout")
				}
			})
		}
	}
}

// TestEditOfAKnownFile: once a file is old enough for its content not to be read each time, an edit that leaves its size is still seen.
func TestEditOfAKnownFile(t *testing.T) {
	r := newRepository(t)
	commit := r.commit("x", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	path := filepath.Join(s.dir, treeName, "a")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	pull(t, s, false)
	if err := errors.Join(os.WriteFile(path, []byte("2"), 0o644), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	pull(t, s, true) // a clock may be too coarse to tell an edit that follows at once

	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	pull(t, s, false)
	if s.tree.known["a"].info == nil {
		t.Error("the file is not known")
	}
	if err := os.WriteFile(path, []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	pull(t, s, true)
	check(t, s, "main@sha1:"+commit, map[string]string{"a": "1"})
}

func TestDamagedObjects(t *testing.T) {
	change := func(t *testing.T, pattern string, edit func(data []byte) []byte) func(string) {
		return func(objects string) {
			paths, err := filepath.Glob(filepath.Join(objects, "objects", "pack", pattern))
			if err != nil || len(paths) == 0 {
				t.Fatal(paths, err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.Remove(path), os.WriteFile(path, edit(data), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cases := map[string]func(string){
		"gone": func(objects string) {
			if err := os.RemoveAll(objects); err != nil {
				t.Fatal(err)
			}
		},
		"empty pack":      change(t, "*.pack", func([]byte) []byte { return nil }),
		"truncated pack":  change(t, "*.pack", func(data []byte) []byte { return data[:len(data)/2] }),
		"truncated index": change(t, "*.idx", func(data []byte) []byte { return data[:len(data)/2] }),
		"flipped bits": change(t, "*.pack", func(data []byte) []byte {
			for i := 40; i < len(data)-20; i += 3 {
				data[i] ^= 0x55
			}
			return data
		}),
	}
	for name, damage := range cases {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened again %t", name, again), func(t *testing.T) {
				r := newRepository(t)
				files := map[string]string{"a": strings.Repeat("some content ", 99), "dir/b": "2"}
				first := r.commit("first", files)
				dir := t.TempDir()
				s := open(t, Options{URL: r.url, Dir: dir})
				pull(t, s, true)
				damage(filepath.Join(dir, s.current.Objects))
				writeFile(t, filepath.Join(dir, "tree", "a"), "edited")
				r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
					if q.Method == http.MethodPost {
						w.WriteHeader(http.StatusBadGateway)
						return true
					}
					return false
				})
				if again {
					s = open(t, Options{URL: r.url, Dir: dir})
				}
				if _, err := s.Pull(context.Background()); err == nil || !strings.Contains(err.Error(), "502") {
					t.Error(err)
				}
				if s.Revision() != "" {
					t.Error("an edited tree is handed out")
				}
				r.intercept(nil)
				pull(t, s, true)
				check(t, s, "main@sha1:"+first, files)
				files["dir/b"] = "3"
				second := r.commit("second", files)
				pull(t, s, true)
				check(t, open(t, Options{URL: r.url, Dir: dir}), "main@sha1:"+second, files)
			})
		}
	}
}

// TestDamageIsNoticedByAFetch: the tree is as it should be, and stays in use until the new objects are here.
func TestDamageIsNoticedByAFetch(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	r.commit("second", map[string]string{"a": "1", "b": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	// What the tip's parent has is gone: the store claims to have it, so the server leaves it out.
	r.git("repack", "-a", "-d", "-q")
	tip := s.current.hash()
	objects := openStore(s.dir, s.current.Objects)
	keep, err := objects.EncodedObject(1, tip)
	if err != nil {
		t.Fatal(err)
	}
	damaged, err := createStore(s.dir, otherStore(s.current.Objects))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := damaged.SetEncodedObject(keep); err != nil {
		t.Fatal(err)
	}
	present := filepath.Join(s.dir, s.current.Objects)
	if err := errors.Join(os.RemoveAll(present), os.Rename(damaged.path, present)); err != nil {
		t.Fatal(err)
	}

	third := r.commit("third", map[string]string{"a": "1", "b": "1", "c": "1"})
	r.seen()
	posts := 0
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			if posts++; posts == 2 {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
		}
		return false
	})
	pullFails(t, s, "502")
	if posts != 2 || s.Revision() == "main@sha1:"+first {
		t.Errorf("%d fetches, %s", posts, s.Revision())
	}
	pull(t, s, true)
	check(t, s, "main@sha1:"+third, map[string]string{"a": "1", "b": "1", "c": "1"})
	pull(t, s, false)
	stores, err := filepath.Glob(filepath.Join(s.dir, "objects-*"))
	if err != nil || len(stores) != 1 {
		t.Errorf("stores: %v %v", stores, err)
	}
}

func TestManyPacks(t *testing.T) {
	r := newRepository(t)
	r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	before := s.current.Objects
	for i := range maxPacks {
		writeFile(t, filepath.Join(s.dir, before, "objects", "pack", fmt.Sprintf("none-%d.pack", i)), "")
	}
	pull(t, s, false) // nothing to fetch, so nothing to do
	second := r.commit("second", map[string]string{"a": "2"})
	pull(t, s, true)
	if s.current.Objects == before {
		t.Error("the store is still the same")
	}
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})
}

// commitTooLong commits files and one more, which can't be written: its name is too long for the file system.
func (r *repository) commitTooLong(files map[string]string) {
	r.t.Helper()
	files[strings.Repeat("z", 300)] = "x"
	var entries strings.Builder
	for name, content := range files {
		fmt.Fprintf(&entries, "100644 blob %s\t%s\n", r.gitInput(content, "hash-object", "-w", "--stdin"), name)
	}
	r.git("update-ref", "refs/heads/main", r.git("commit-tree", "-m", "too long", r.gitInput(entries.String(), "mktree")))
}

// TestFailedCheckout: what can't be written (a name too long for the file system) leaves the last good revision.
func TestFailedCheckout(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{"a": "1", "m/x": "1"}
	first := r.commit("first", files)
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	r.commitTooLong(map[string]string{"a": "x", "m": "x"})
	pullFails(t, s, "check out main@sha1:", "name too long")
	check(t, s, "main@sha1:"+first, files)
}

// TestNoWayBack: the checkout fails, and what it had before is damaged. Nothing is handed out then, until a pull works again.
func TestNoWayBack(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	packs := filepath.Join(s.dir, s.current.Objects, "objects", "pack")
	if err := errors.Join(os.RemoveAll(packs), os.Mkdir(packs, 0o700)); err != nil {
		t.Fatal(err)
	}
	r.commitTooLong(map[string]string{"a": "2"})
	_, err := s.Pull(context.Background())
	if err == nil || !strings.Contains(err.Error(), "and bring the checkout back to main@sha1:"+first) ||
		!strings.Contains(err.Error(), "its files are not those of") {
		t.Error(err)
	}
	if path, err := s.Path(""); err == nil || s.Revision() != "" {
		t.Errorf("%s at %q", path, s.Revision())
	}
	third := r.commit("third", map[string]string{"a": "3"})
	pull(t, s, true)
	check(t, s, "main@sha1:"+third, map[string]string{"a": "3"})
}

// TestForgedObject: the store has an object whose content does not fit its name.
func TestForgedObject(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{"a": "1"}
	first := r.commit("first", files)
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	name := r.git("rev-parse", "HEAD:a")
	var forged bytes.Buffer
	w := zlib.NewWriter(&forged)
	if _, err := w.Write([]byte("blob 1\x00!")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dir, s.current.Objects, "objects", name[:2], name[2:]), forged.String())
	writeFile(t, filepath.Join(s.dir, treeName, "a"), "edited")
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, files)
}

func TestPathStaysInside(t *testing.T) {
	r := newRepository(t)
	r.commit("x", map[string]string{"dir/a": "1", "link": "->dir", "dir/self": "->."})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	root := filepath.Join(s.dir, treeName)
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
		"..": "not a path inside", "../tree": "not a path inside", "dir/../../objects-a": "not a path inside",
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
			if _, err := s.Pull(context.Background()); err != nil {
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

// manyFiles are files of a commit, with the number in each.
func manyFiles(n, number int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("team-%d/bottle-%d.yaml", i%20, i)] = fmt.Sprintf("name: bottle-%d\nversion: %d\n", i, number)
	}
	return files
}

// TestKilled kills a process that pulls, at any moment: what Open finds afterwards is one of the commits, whole.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("GITSOURCE_TEST_PULL"); dir != "" {
		s := open(t, Options{URL: os.Getenv("GITSOURCE_TEST_URL"), Dir: dir})
		fmt.Println("pulling")
		pull(t, s, true)
		return
	}
	r := newRepository(t)
	contents := map[string]map[string]string{}
	dir := t.TempDir()
	reached, torn := map[string]bool{}, 0
	for i := range 12 {
		files := manyFiles(300, i)
		if i%2 == 0 {
			files["team-0"] = "no directory"
			for name := range files {
				if strings.HasPrefix(name, "team-0/") {
					delete(files, name)
				}
			}
		}
		contents["main@sha1:"+r.commit(fmt.Sprint(i), files)] = files
		killPull(t, r.url, dir, time.Duration(60*i+rand.IntN(60))*time.Millisecond)
		if _, err := os.Stat(filepath.Join(dir, treeName)); err == nil && !isOneOf(read(t, filepath.Join(dir, treeName)), contents) {
			torn++
		}
		s := open(t, Options{URL: r.url, Dir: dir})
		if revision := s.Revision(); revision != "" {
			check(t, s, revision, contents[revision])
			reached[revision] = true
		}
	}
	t.Logf("of 12 revisions %d were reached, and %d times the tree was left half changed", len(reached), torn)
	s := open(t, Options{URL: r.url, Dir: dir})
	if _, err := s.Pull(context.Background()); err != nil {
		t.Error(err)
	}
	check(t, s, "main@sha1:"+r.head(), manyFiles(300, 11))
}

func isOneOf(files map[string]string, contents map[string]map[string]string) bool {
	for _, c := range contents {
		if maps.Equal(files, c) {
			return true
		}
	}
	return false
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

// BenchmarkRepair is the local part of a pull without change.
func BenchmarkRepair(b *testing.B) {
	r := newRepository(b)
	r.commit("x", manyFiles(500, 1))
	s := open(b, Options{URL: r.url})
	pull(b, s, true)
	time.Sleep(2100 * time.Millisecond) // until the files' content need not be read each time
	for b.Loop() {
		if _, err := s.repair(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTimes(t *testing.T) {
	r := newRepository(t)
	r.commit("x", manyFiles(500, 1))
	s := open(t, Options{URL: r.url})
	for _, step := range []string{"first clone, 500 files", "no change", "500 files changed", "no change"} {
		if strings.HasPrefix(step, "500") {
			r.commit("y", manyFiles(500, 2))
		}
		began := time.Now()
		pull(t, s, step != "no change")
		t.Logf("%s: %s", step, time.Since(began).Round(time.Millisecond/10))
	}
}
