package gitsource

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brokenPack is an answer that breaks off in the middle of the pack.
func brokenPack(commit string) string {
	return "0035shallow " + commit + "\n00000008NAK\n0014\x01PACK\x00\x00\x00\x02\x00\x00\x00\x03"
}

func badGateway(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusBadGateway)
	return true
}

// checkDirectory checks that nothing is left but the tree and the repository.
func checkDirectory(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != repositoryName || entries[1].Name() != treeName {
		t.Errorf("the directory has %v: %v", entries, err)
	}
}

func TestRestart(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"dir/a": "1", "b": "2"})
	dir := t.TempDir()
	pull(t, open(t, Options{URL: r.url, Dir: dir}), true)
	r.intercept(badGateway)
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

	for name, damage := range map[string]string{
		"HEAD": "no reference", "config": "[no configuration", "refs/heads/main": strings.Repeat("1", 40),
	} {
		writeFile(t, filepath.Join(dir, repositoryName, name), damage)
		s := open(t, Options{URL: r.url, Dir: dir})
		pullFails(t, s, "502", "the earlier checkout")
		r.intercept(nil)
		pull(t, s, true)
		check(t, s, "main@sha1:"+first, map[string]string{"dir/a": "1", "b": "2"})
		r.intercept(badGateway)
	}
}

// TestUpgrade: earlier versions kept the files in the same place, but the objects elsewhere.
func TestUpgrade(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	dir := t.TempDir()
	for _, name := range []string{"tree/a", "objects-a/HEAD", "objects-b/HEAD", "checkout.json", "incoming"} {
		writeFile(t, filepath.Join(dir, name), "1")
	}
	s := open(t, Options{URL: r.url, Dir: dir})
	if s.Revision() != "" {
		t.Error(s.Revision())
	}
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	checkDirectory(t, dir)
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
				writeFile(t, dir+"/tree.new/a", "half a file")
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
				checkDirectory(t, dir)
			})
		}
	}
}

// TestEditWithoutTrace: an edit that leaves a file's size and time is still seen, by the time that the kernel keeps.
func TestEditWithoutTrace(t *testing.T) {
	r := newRepository(t)
	commit := r.commit("x", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	path := filepath.Join(s.path(treeName), "a")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	pull(t, s, false)
	if err := errors.Join(os.WriteFile(path, []byte("2"), 0o644), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	pull(t, s, true)
	check(t, s, "main@sha1:"+commit, map[string]string{"a": "1"})
}

func TestDamagedObjects(t *testing.T) {
	edit := func(t *testing.T, pattern string, edit func(data []byte) []byte) {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err := errors.Join(err, os.Remove(path), os.WriteFile(path, edit(data), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	half := func(data []byte) []byte { return data[:len(data)/2] }
	flipped := func(data []byte) []byte {
		for i := 40; i < len(data)-20; i += 3 {
			data[i] ^= 0x55
		}
		return data
	}
	for name, damage := range map[string]func(t *testing.T, packs string){
		"gone":            func(_ *testing.T, packs string) { _ = os.RemoveAll(packs) },
		"truncated pack":  func(t *testing.T, packs string) { edit(t, packs+"/*.pack", half) },
		"truncated index": func(t *testing.T, packs string) { edit(t, packs+"/*.idx", half) },
		"flipped bits":    func(t *testing.T, packs string) { edit(t, packs+"/*.pack", flipped) },
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened again %t", name, again), func(t *testing.T) {
				r := newRepository(t)
				files := map[string]string{"a": strings.Repeat("some content ", 99), "dir/b": "2"}
				first := r.commit("first", files)
				dir := t.TempDir()
				s := open(t, Options{URL: r.url, Dir: dir})
				pull(t, s, true)
				damage(t, filepath.Join(dir, repositoryName, "objects", "pack"))
				writeFile(t, filepath.Join(dir, treeName, "a"), "edited")
				if again {
					s = open(t, Options{URL: r.url, Dir: dir})
				}
				r.intercept(badGateway)
				if _, err := s.Pull(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
					t.Error(err)
				}
				if s.Revision() != "" {
					t.Error("an edited tree is handed out")
				}
				r.intercept(nil)
				pull(t, s, true)
				check(t, s, "main@sha1:"+first, files)
				checkDirectory(t, dir)
			})
		}
	}
}
