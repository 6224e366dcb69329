package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	must(t, errA, errB)
	return os.SameFile(infoA, infoB)
}

func TestFollow(t *testing.T) {
	root := grow(t, map[string]string{
		"r/a.yaml": bottle("a"), "s/token": "1", "s/other": "1",
		"v/..1/token": "1", "v/..2/token": "2", "v/..data": "->..1", "v/token": "->..data/token",
	})
	at := func(path string) string { return filepath.Join(root, path) }
	w := startWatching(t, at("r"))
	files := []string{at("s/token"), at("v/token"), at("later/token")}
	write("s/token", "2")(t, at)
	w.expectNothing("before it is followed")
	w.Follow(files, safepath.Set{})
	w.expect("followed")
	w.Follow(slices.Clone(files), safepath.Set{})
	w.expectNothing("followed again")
	w.expectAll([]act{
		{"written", true, write("s/token", "3")},
		{"replaced", true, inTurn(write("s/new", "4"), move("s/new", "s/token"))},
		{"another one", false, write("s/other", "2")},
		{"swapped by kubelet", true, inTurn(swap("v/..data", "..2"), unlink("v/..1"))},
		{"the directory of one that is missing", true, write("later/x", "x")},
		{"there", true, write("later/token", "1")},
		{"removed", true, unlink("later")},
	}, at)
	w.Follow(files[1:], safepath.Set{})
	w.expect("followed no more")
	write("s/token", "5")(t, at)
	w.expectNothing("what is followed no more")
	w.expectWarnings()
}

// TestFollowDirectory: of a directory that is followed everything counts, by whatever name, but nothing below.
func TestFollowDirectory(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "c/Dockerfile": "1", "c/sub/x": "1", "v/1/x": "1", "v/now": "->1"})
	at := func(path string) string { return filepath.Join(root, path) }
	w := startWatching(t, at("r"))
	w.Follow([]string{at("c"), at("v/now"), at("later")}, safepath.Set{})
	w.expect("followed")
	w.expectAll([]act{
		{"written", true, write("c/Dockerfile", "2")},
		{"replaced", true, inTurn(write("c/.new", "3"), move("c/.new", "c/Dockerfile"))},
		{"made executable", true, func(t testing.TB, at func(string) string) { t.Helper(); must(t, os.Chmod(at("c/Dockerfile"), 0o755)) }},
		{"a hidden file", true, write("c/.dockerignore", "x")},
		{"a directory", true, write("c/more/y", "1")},
		{"below one that is not followed", false, write("c/sub/x", "2")},
		{"removed", true, unlink("c/.dockerignore")},
		{"behind a link", true, write("v/1/x", "2")},
		{"the link", true, inTurn(write("v/2/x", "1"), swap("v/now", "2"))},
		{"behind the new link", true, write("v/2/x", "2")},
		{"behind the old link", false, write("v/1/x", "3")},
		{"one that was missing", true, write("later/Dockerfile", "1")},
		{"in it", true, write("later/Dockerfile", "2")},
		{"all of it gone", true, unlink("c")},
	}, at)
	w.expectWarnings()
}

// TestAgentsDirectoryIsNotWatched: what an agent writes, and where its links lead, neither wakes anybody nor takes a watch.
func TestAgentsDirectoryIsNotWatched(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/work/deep/x": "1", "r/work/root": "->/", "other/x": "1"})
	at := func(path string) string { return filepath.Join(root, path) }
	place, err := safepath.NewPlace(at("r/work"))
	must(t, err)
	w := startWatchingWith(t, theKernel, WatchOptions{Paths: []string{at("r")}, Writable: safepath.NewSet(place)})
	w.expectAll([]act{
		{"a manifest in it", false, write("r/work/evil.yaml", bottle("evil"))},
		{"a directory in it", false, write("r/work/more/evil.yaml", bottle("evil"))},
		{"far below", false, write("r/work/deep/evil.yaml", bottle("evil"))},
		{"beside it", true, write("r/b.yaml", bottle("b"))},
	}, at)
	for dir := range w.seen.dirs {
		if strings.HasPrefix(dir, at("r/work")) || dir == "/usr" {
			t.Errorf("%s is watched", dir)
		}
	}
}

// TestFollowOnly is for manifests that are no files.
func TestFollowOnly(t *testing.T) {
	root := grow(t, map[string]string{"s/token": "1", "s/a.yaml": bottle("a")})
	w := startWatching(t)
	w.Follow([]string{root + "/s/token"}, safepath.Set{})
	w.expect("followed")
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expectNothing("another one")
	plant(t, root+"/s/token", "2")
	w.expect("written")
	w.expectWarnings()
}

// TestWatchCheckout has git write 200 files: that is one change.
func TestWatchCheckout(t *testing.T) {
	const files = 100
	root := grow(t, map[string]string{"repo": "/"})
	repo := filepath.Join(root, "repo")
	sh(t, repo, "git", "init", "-q", "-b", "main")
	for _, v := range []string{"1", "2"} {
		for i := range files {
			plant(t, fmt.Sprintf("%s/team-%s-%d/sub/b%d.yaml", repo, v, i%20, i), version(fmt.Sprintf("b%d", i), v))
			plant(t, fmt.Sprintf("%s/same/b%d.yaml", repo, i), version(fmt.Sprintf("s%d", i), v))
		}
		sh(t, repo, "git", "add", "-A")
		sh(t, repo, "git", "commit", "-q", "-m", v)
		sh(t, repo, "git", "tag", "v"+v)
		for i := range 20 {
			must(t, os.RemoveAll(fmt.Sprintf("%s/team-%s-%d", repo, v, i)))
		}
	}
	sh(t, repo, "git", "reset", "-q", "--hard", "v1")
	w := startWatching(t, repo)
	for _, tag := range []string{"v2", "v1"} {
		sh(t, repo, "git", "checkout", "-q", tag)
		w.expect("checkout of " + tag)
	}
	plant(t, repo+"/team-1-7/sub/b7.yaml", version("b7", "3"))
	w.expect("in a directory that is new")
	w.expectWarnings()
}
