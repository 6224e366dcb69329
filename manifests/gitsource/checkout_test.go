package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

// TestReplaceIsAtomic: opening the path finds either the old or the new tree.
func TestReplaceIsAtomic(t *testing.T) {
	place := filepath.Join(t.TempDir(), "tree")
	writeFile(t, place+"/a", "1")
	writeFile(t, place+nextSuffix+"/a", "2")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := os.ReadFile(place + "/a"); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 1000 {
		if err := replace(place+nextSuffix, place); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestExchangeInSteps(t *testing.T) {
	dir := t.TempDir()
	place := filepath.Join(dir, "tree")
	if err := exchangeInSteps(place+nextSuffix, place); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	writeFile(t, place+"/a", "1")
	if err := exchangeInSteps(place+nextSuffix, place); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	writeFile(t, place+nextSuffix+"/a", "2")
	if err := exchangeInSteps(place+nextSuffix, place); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]string{"tree/a": "2", "tree.new/a": "1"}, read(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestLinksOut(t *testing.T) {
	for _, c := range []struct {
		name, target string
		out          bool
	}{
		{"l", "dir/file", false},
		{"l", "nowhere", false},
		{"l", ".", false},
		{"l", "./dir/../dir//file", false},
		{"dir/l", "../dir/file", false},
		{"dir/l", "..", false},
		{"l", "loop", false},
		{"l", "ping/x", false},
		{"l", "dir/self/self/self/file", false},
		{"l", "..", true},
		{"l", "../tree/dir", true},
		{"l", "/etc/passwd", true},
		{"l", "/", true},
		{"dir/l", "../../x", true},
		{"l", "dir/deep/root/dir/file", false},
		{"l", "dir/deep/root/..", true},         // by its text, dir/deep
		{"l", "dir/deep/root/../objects", true}, // by its text, too
		{"l", "top/../..", true},
		{"l", "top/..", false},
	} {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		writeFile(t, filepath.Join(root.Name(), "dir/file"), "x")
		for name, target := range map[string]string{
			"top": "dir/deep/..", "dir/deep/root": "../..", "dir/self": ".", "loop": "loop", "ping": "pong", "pong": "ping", "dir/file-like": "file/../../..",
			c.name: c.target,
		} {
			writeFile(t, filepath.Join(root.Name(), name), "->"+target)
		}
		if err := (&checkout{root: root, links: []string{c.name}}).checkLinks(); (err != nil) != c.out {
			t.Errorf("%s to %s: %v", c.name, c.target, err)
		}
	}
}

// commitTooLong commits files and one more, which can't be written: its name is too long for the file system.
func (r *upstream) commitTooLong(files map[string]string) {
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
	r.git("update-ref", "refs/heads/main", first)
	pull(t, s, false)
	checkDirectory(t, s.dir)
}

func TestSymlinkOutOfTheRepository(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	r.commit("second", map[string]string{"a": "2", "bottles/evil.yaml": "->/etc/passwd", "up": "->../repository", "fine": "->a"})
	pullFails(t, s, "symlinks that lead out of the repository", `"bottles/evil.yaml" (to "/etc/passwd"), "up" (to "../repository")`)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprint(i)] = "->/x"
	}
	r.commit("third", many)
	pullFails(t, s, "15 more")
	long := r.commit("long", map[string]string{"l": "->" + strings.Repeat("x/", 2000)})
	pull(t, s, true)
	check(t, s, "main@sha1:"+long, map[string]string{"l": "->" + strings.Repeat("x/", 2000)})
}

func TestSubmodules(t *testing.T) {
	r := newRepository(t)
	r.commit("first", map[string]string{"a": "1", ".gitmodules": "[submodule \"x\"]\n\tpath = gone\n\turl = https://127.0.0.1:1/x\n"})
	r.git("update-index", "--add", "--cacheinfo", "160000,"+r.head()+",vendor/module")
	r.git("commit", "--quiet", "-m", "with a submodule")
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	pull(t, s, false)
	if files := read(t, s.path(treeName)); len(files) != 3 || files["a"] != "1" || files["vendor/"] != "" {
		t.Error(files)
	}
}

// tree makes a tree object of entries as they are, however wrong.
func (r *upstream) tree(entries ...[3]string) string {
	r.t.Helper()
	var text bytes.Buffer
	for _, e := range entries {
		h := plumbing.NewHash(e[2])
		text.WriteString(e[0] + " " + e[1] + "\x00" + string(h[:]))
	}
	repo, err := git.PlainOpen(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	object := &plumbing.MemoryObject{}
	object.SetType(plumbing.TreeObject)
	if _, err := object.Write(text.Bytes()); err != nil {
		r.t.Fatal(err)
	}
	h, err := repo.Storer.SetEncodedObject(object)
	if err != nil {
		r.t.Fatal(err)
	}
	return h.String()
}

func TestHostileTrees(t *testing.T) {
	defer func(before int) { maxEntries = before }(maxEntries)
	maxEntries = 500
	r := newRepository(t)
	files := map[string]string{"a": "1"}
	first := r.commit("first", files)
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	blob := r.gitInput("evil", "hash-object", "-w", "--stdin")
	link := r.gitInput("x", "hash-object", "-w", "--stdin")
	empty := r.tree()
	bomb := r.tree([3]string{"100644", "f", blob})
	for range 8 {
		var entries [][3]string
		for i := range 10 {
			entries = append(entries, [3]string{"40000", fmt.Sprint(i), bomb})
		}
		bomb = r.tree(entries...)
	}
	deep := empty
	for range 50 {
		deep = r.tree([3]string{"40000", strings.Repeat("d", 99), deep})
	}
	sub := r.tree([3]string{"100644", "y", blob})
	for name, c := range map[string]struct{ tree, word string }{
		"parent":          {r.tree([3]string{"100644", "..", blob}), `name ".."`},
		"self":            {r.tree([3]string{"40000", ".", empty}), `name "."`},
		"slash":           {r.tree([3]string{"100644", "../../evil", blob}), `name "../../evil"`},
		"git":             {r.tree([3]string{"40000", ".GIT", empty}), `name ".GIT"`},
		"link and dir":    {r.tree([3]string{"120000", "x", link}, [3]string{"40000", "x", sub}), `two entries with the name "x"`},
		"bomb":            {bomb, "more than 500 files"},
		"deep":            {deep, "path with more than 4096 bytes"},
		"empty link":      {r.tree([3]string{"120000", "x", r.gitInput("", "hash-object", "-w", "--stdin")}), "no such file or directory"},
		"link with zero":  {r.tree([3]string{"120000", "x", r.gitInput("a\x00b", "hash-object", "-w", "--stdin")}), "invalid argument"},
		"long link":       {r.tree([3]string{"120000", "x", r.gitInput(strings.Repeat("x", 5000), "hash-object", "-w", "--stdin")}), "a target of 4096 bytes or more"},
		"tree as a file":  {r.tree([3]string{"100644", "x", empty}), ""},
		"blob as a tree":  {r.tree([3]string{"40000", "x", blob}), ""},
		"missing content": {r.tree([3]string{"100644", "x", strings.Repeat("1", 40)}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r.git("update-ref", "refs/heads/main", r.git("commit-tree", "-m", name, "-p", first, c.tree))
			t.Log(pullFails(t, s, c.word))
			check(t, s, "main@sha1:"+first, files)
		})
	}
}
