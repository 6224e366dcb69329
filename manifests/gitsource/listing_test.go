package gitsource

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

func TestLeadsOut(t *testing.T) {
	l := &listing{files: map[string]entry{"dir/file": {mode: filemode.Regular}}}
	for name, target := range map[string]string{
		"top": "dir/deep/..", "dir/deep/root": "../..", "dir/self": ".", "loop": "loop", "ping": "pong", "pong": "ping", "dir/file-like": "file/../../..",
	} {
		l.files[name] = entry{mode: filemode.Symlink, target: target}
	}
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
		{"l", "dir/deep/root/../objects", true}, // likewise
		{"l", "top/../..", true},
		{"l", "top/..", false},
	} {
		l.files[c.name] = entry{mode: filemode.Symlink, target: c.target}
		if got := l.leadsOut(c.name); got != c.out {
			t.Errorf("%s to %s: %t", c.name, c.target, got)
		}
		delete(l.files, c.name)
	}
}

func TestSymlinkOutOfTheRepository(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	r.commit("second", map[string]string{"a": "2", "bottles/evil.yaml": "->/etc/passwd", "up": "->../checkout.json", "fine": "->a"})
	pullFails(t, s, "symlinks that lead out of the repository", `"bottles/evil.yaml" (to "/etc/passwd"), "up" (to "../checkout.json")`)
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
	if files := read(t, s.dir+"/tree"); len(files) != 2 || files["a"] != "1" {
		t.Error(files)
	}
}

// tree makes a tree object of entries as they are, however wrong.
func (r *repository) tree(entries ...[3]string) string {
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
	maxEntries = 5000
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
		"bomb":            {bomb, "more than 5000 files"},
		"deep":            {deep, "path with more than 4096 bytes"},
		"empty link":      {r.tree([3]string{"120000", "x", r.gitInput("", "hash-object", "-w", "--stdin")}), "empty, too long"},
		"link with zero":  {r.tree([3]string{"120000", "x", r.gitInput("a\x00b", "hash-object", "-w", "--stdin")}), "zero byte"},
		"long link":       {r.tree([3]string{"120000", "x", r.gitInput(strings.Repeat("x", 5000), "hash-object", "-w", "--stdin")}), "too long"},
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
