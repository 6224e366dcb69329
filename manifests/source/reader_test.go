package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// version is a bottle that differs from others of its name.
func version(name, v string) string {
	return strings.Replace(bottle(name), "}\nspec", ", labels: {v: \""+v+"\"}}\nspec", 1)
}

// faultyBottle is a document whose name can be read.
func faultyBottle(name string) string {
	return strings.Replace(bottle(name), "spec: {}", "spec: {x: 1}", 1)
}

// seen is what a Read returned, in short: NAME or NAME=VERSION, !FILE for a problem, ?FILE for an unsettled file.
func seen(s Snapshot) string {
	var words []string
	for _, b := range s.Bottles {
		name := b.Metadata.Name
		if v := b.Metadata.Labels["v"]; v != "" {
			name += "=" + v
		}
		words = append(words, name)
	}
	for _, p := range s.Problems {
		words = append(words, "!"+p.File)
	}
	for _, f := range s.Unsettled {
		words = append(words, "?"+f)
	}
	return strings.Join(words, " ")
}

// readStep is something that happens, and what is read at once after it.
type readStep struct {
	after time.Duration     // since the step before
	write map[string]string // by now; "" empties the file
	age   time.Duration     // of what was written
	do    func(t *testing.T)
	want  string
	again time.Duration
}

func rename(from, to string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(paths ...string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

const ms = time.Millisecond

var readerCases = []struct {
	name  string
	steps []readStep
}{
	{"what is valid is taken at once", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/a.yaml": version("a", "2"), "d/b.yaml": bottle("b")}, want: "a=2 b"},
		{after: time.Hour, want: "a=2 b"},
	}},
	{"half-written for a moment", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/a.yaml": "apiVersion: bottled/v1al"}, want: "a=1 ?d/a.yaml", again: settle},
		{after: 200 * ms, want: "a=1 ?d/a.yaml", again: 300 * ms},
		{write: map[string]string{"d/a.yaml": version("a", "2")}, want: "a=2 ?d/a.yaml", again: grace},
		{after: grace, want: "a=2"},
	}},
	{"wrong for good: told when it has settled, and let go when it may not come back", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/a.yaml": "{"}, age: 100 * ms, want: "a=1 ?d/a.yaml", again: 400 * ms},
		{after: 400 * ms, want: "a=1 !d/a.yaml", again: grace - 400*ms},
		{after: grace - 400*ms, want: "!d/a.yaml"},
		{after: time.Hour, want: "!d/a.yaml"},
	}},
	{"known to be invalid: not missing", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{write: map[string]string{"d/a.yaml": faultyBottle("a")}, want: "a ?d/a.yaml", again: settle},
		{after: settle, want: "!d/a.yaml"},
	}},
	{"what is old and wrong is told at once", []readStep{
		{write: map[string]string{"d/a.yaml": faultyBottle("a"), "d/b.yaml": bottle("b")}, age: settle, want: "b !d/a.yaml"},
	}},
	{"the first read withholds too", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a") + "---\n{", "d/b.yaml": bottle("b")}, want: "b ?d/a.yaml", again: settle},
		{after: settle, want: "a b !d/a.yaml"},
	}},
	{"nothing of a half-written file counts, nothing of another one waits", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1") + "---\n" + version("b", "1"), "d/c.yaml": version("c", "1")}, want: "a=1 b=1 c=1"},
		{write: map[string]string{"d/a.yaml": version("a", "2") + "---\n" + bottle("new") + "---\napiV", "d/c.yaml": version("c", "2")}, want: "a=1 b=1 c=2 ?d/a.yaml", again: settle},
		{write: map[string]string{"d/a.yaml": version("a", "2") + "---\n" + bottle("new") + "---\n" + version("b", "2")}, want: "a=2 b=2 c=2 new ?d/a.yaml", again: grace},
	}},
	{"a bottle moves out of a half-written file", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/a.yaml": "{", "d/b.yaml": version("a", "2")}, want: "a=2 ?d/a.yaml", again: settle},
	}},
	{"copied and then removed", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, age: time.Hour, want: "a=1"},
		{write: map[string]string{"d/b.yaml": version("a", "2")}, want: "a=1 ?d/a.yaml ?d/b.yaml", again: settle},
		{after: 100 * ms, do: remove("d/a.yaml"), want: "a=2 ?d/a.yaml ?d/b.yaml", again: grace},
		{after: grace, want: "a=2"},
	}},
	{"declared twice for good", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a") + "---\n" + version("x", "1")}, age: time.Hour, want: "a x=1"},
		{write: map[string]string{"d/b.yaml": bottle("a")}, want: "a x=1 ?d/a.yaml ?d/b.yaml", again: settle},
		{after: settle, want: "x=1 !d/a.yaml !d/b.yaml"},
	}},
	{"another problem of the other file is told meanwhile", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a") + "---\n" + faultyBottle("x")}, age: time.Hour, want: "a !d/a.yaml"},
		{write: map[string]string{"d/b.yaml": bottle("a")}, want: "a !d/a.yaml ?d/a.yaml ?d/b.yaml", again: settle},
	}},
	{"emptied and written", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/a.yaml": ""}, want: "a=1 ?d/a.yaml", again: settle},
		{after: 200 * ms, write: map[string]string{"d/a.yaml": version("a", "2")}, want: "a=2 ?d/a.yaml", again: grace},
		{after: grace, want: "a=2"},
		{write: map[string]string{"d/a.yaml": ""}, want: "a=2 ?d/a.yaml", again: settle},
		{after: settle, want: "!d/a.yaml"},
		{after: time.Hour, want: "!d/a.yaml"},
		{do: remove("d/a.yaml"), want: "?d/a.yaml", again: grace},
		{after: grace, want: ""},
	}},
	{"claude-bottle's, half-written and then wrong", []readStep{
		{write: map[string]string{"d/a.md": supervised, "d/README.md": "# About\n"}, want: "a"},
		{write: map[string]string{"d/a.md": "---\nsupervi"}, want: "a ?d/a.md", again: settle},
		{write: map[string]string{"d/a.md": "---\nsupervise: true\negress:\n"}, want: "a ?d/a.md", again: settle},
		{after: settle, want: "!d/a.md"},
		{after: time.Hour, want: "!d/a.md"},
		{write: map[string]string{"d/a.md": supervised}, want: "a ?d/a.md", again: grace},
		{after: grace, want: "a"},
	}},
	{"claude-bottle's, replaced by a manifest", []readStep{
		{write: map[string]string{"d/a.md": supervised}, age: time.Hour, want: "a"},
		{write: map[string]string{"d/a.yaml": version("a", "2")}, want: "a ?d/a.md ?d/a.yaml", again: settle},
		{after: 100 * ms, do: remove("d/a.md"), want: "a=2 ?d/a.md ?d/a.yaml", again: grace},
		{after: grace, want: "a=2"},
	}},
	{"removed for good", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a"), "d/b.yaml": bottle("b")}, want: "a b"},
		{do: remove("d/a.yaml"), want: "a b", again: grace},
		{after: 500 * ms, do: remove("d/b.yaml"), want: "a b", again: 1500 * ms},
		{after: 1500 * ms, want: "b", again: 500 * ms},
		{after: 500 * ms, want: ""},
	}},
	{"renamed", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{do: rename("d/a.yaml", "d/a.yaml~"), want: "a", again: grace},
		{after: 10 * ms, do: rename("d/a.yaml~", "d/b.yaml"), want: "a"},
	}},
	{"missing, and back when it was let go", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{do: remove("d/a.yaml"), want: "a", again: grace},
		{after: grace, want: ""},
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{do: remove("d/a.yaml"), want: "a", again: grace},
	}},
	{"invalid, and then missing: not to be pruned yet", []readStep{
		{write: map[string]string{"d/a.yaml": faultyBottle("a")}, age: time.Hour, want: "!d/a.yaml"},
		{do: remove("d/a.yaml"), want: "?d/a.yaml", again: grace},
		{after: time.Second, want: "?d/a.yaml", again: time.Second},
		{write: map[string]string{"d/a.yaml": faultyBottle("a")}, age: time.Hour, want: "!d/a.yaml"},
		{do: remove("d/a.yaml"), want: "?d/a.yaml", again: grace},
		{after: grace, want: ""},
	}},
	{"written over and over again", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{write: map[string]string{"d/a.yaml": "{"}, want: "a ?d/a.yaml", again: settle},
		{after: 400 * ms, write: map[string]string{"d/a.yaml": "{ "}, want: "a ?d/a.yaml", again: settle},
		{after: 400 * ms, write: map[string]string{"d/a.yaml": "{"}, want: "a ?d/a.yaml", again: settle},
		{after: 3 * time.Second, write: map[string]string{"d/a.yaml": "{ "}, want: "a ?d/a.yaml", again: settle},
		{after: settle, want: "!d/a.yaml"},
	}},
	{"a bottle moves into a file that is written over and over again", []readStep{
		{write: map[string]string{"d/a.yaml": version("a", "1")}, want: "a=1"},
		{write: map[string]string{"d/b.yaml": version("a", "2") + "---\n{"}, do: remove("d/a.yaml"), want: "a=1 ?d/b.yaml", again: settle},
		{after: 3 * time.Second, write: map[string]string{"d/b.yaml": version("a", "2") + "---\n{ "}, want: "a=1 ?d/b.yaml", again: settle},
		{after: settle, want: "a=2 !d/b.yaml"},
	}},
	{"a time far in the future says nothing, a clock that is a little ahead does", []readStep{
		{write: map[string]string{"d/a.yaml": "{"}, age: -time.Hour, want: "!d/a.yaml"},
		{write: map[string]string{"d/a.yaml": "{"}, age: -200 * ms, want: "?d/a.yaml", again: settle + 200*ms},
	}},
	{"a link to nowhere", []readStep{
		{write: map[string]string{"d/a.yaml": bottle("a")}, want: "a"},
		{do: func(t *testing.T) { put(t, "d/b.yaml", "->nowhere") }, want: "a !d/b.yaml"}, // an hour old by its own time
	}},
}

// TestReader has a clock that is an hour ahead, so that the time of a file's last change is not in the way of the one that the
// test sets.
func TestReader(t *testing.T) {
	for _, c := range readerCases {
		t.Run(c.name, func(t *testing.T) {
			tree(t, map[string]string{"d/README": "x"})
			now := time.Now().Add(time.Hour)
			r := Reader{Paths: []string{"d"}, Now: func() time.Time { return now }}
			for i, step := range c.steps {
				now = now.Add(step.after)
				for path, text := range step.write {
					put(t, path, text)
					if err := os.Chtimes(path, time.Time{}, now.Add(-step.age)); err != nil {
						t.Fatal(err)
					}
				}
				if step.do != nil {
					step.do(t)
				}
				s, again, err := r.Read()
				if err != nil {
					t.Fatal(err)
				}
				if got := seen(s); got != step.want || again != step.again {
					t.Errorf("step %d: %q, again after %s; want %q, %s", i, got, again, step.want, step.again)
				}
			}
		})
	}
}

// TestReaderSeesRename puts an old file into place: its content is old, its name is not.
func TestReaderSeesRename(t *testing.T) {
	tree(t, map[string]string{"d/a.yaml": bottle("a"), "new": "{"})
	if err := os.Chtimes("new", time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	changed := func(path string) time.Time {
		t.Helper()
		info, err := os.Lstat(path)
		must(t, err)
		return changeTime(info)
	}
	written := changed("new")
	for rename("new", "d/b.yaml")(t); !changed("d/b.yaml").After(written); rename("new", "d/b.yaml")(t) { // until the kernel's clock ticks
		rename("d/b.yaml", "new")(t)
	}
	now := changed("d/b.yaml").UnixNano()
	r := Reader{Paths: []string{"d"}, Now: func() time.Time { return time.Unix(0, now) }}
	for _, step := range []struct {
		after time.Duration
		want  string
		again time.Duration
	}{{100 * ms, "a ?d/b.yaml", 400 * ms}, {400 * ms, "a !d/b.yaml", 0}} {
		now += int64(step.after)
		s, again, err := r.Read()
		if got := seen(s); err != nil || got != step.want || again != step.again {
			t.Errorf("%q, again after %s, %v; want %q, %s", got, again, err, step.want, step.again)
		}
	}
}

// TestReaderUsesTheClock reads without an injected clock.
func TestReaderUsesTheClock(t *testing.T) {
	tree(t, map[string]string{"d/a.yaml": "{"})
	r := Reader{Paths: []string{"d"}}
	s, again, err := r.Read()
	if got := seen(s); err != nil || got != "?d/a.yaml" || again <= 0 || again > settle+50*ms {
		t.Fatalf("%q, again after %s, %v", got, again, err)
	}
	<-time.After(again)
	s, again, err = r.Read()
	if got := seen(s); err != nil || got != "!d/a.yaml" || again != 0 {
		t.Errorf("%q, again after %s, %v", got, again, err)
	}
}

// TestReaderError removes the directory and clones it anew, slower than the time of grace.
func TestReaderError(t *testing.T) {
	tree(t, map[string]string{"d/a.yaml": bottle("a"), "d/b.yaml": bottle("b"), "d/c.yaml": faultyBottle("c")})
	now := time.Now().Add(time.Hour)
	r := Reader{Paths: []string{"d"}, Now: func() time.Time { return now }}
	read := func(want string, wantAgain time.Duration) {
		t.Helper()
		s, again, err := r.Read()
		if got := seen(s); err != nil || got != want || again != wantAgain {
			t.Errorf("%q, again after %s, %v; want %q, %s", got, again, err, want, wantAgain)
		}
	}
	read("a b !d/c.yaml", 0)
	remove("d/a.yaml", "d/c.yaml")(t)
	read("a b ?d/c.yaml", grace)
	now = now.Add(time.Second)
	remove("d")(t)
	for range 3 {
		now = now.Add(time.Minute)
		s, again, err := r.Read()
		if !errors.Is(err, fs.ErrNotExist) || again != 0 || len(s.Bottles) > 0 {
			t.Errorf("%v, %s, %v", s, again, err)
		}
	}
	put(t, "d/b.yaml", version("b", "2"))
	read("a b=2 ?d/c.yaml", grace)
	now = now.Add(grace)
	read("b=2", 0)
}

// TestReaderKeepsItsOwn has the caller change what it was given.
func TestReaderKeepsItsOwn(t *testing.T) {
	tree(t, map[string]string{"d/a.yaml": bottle("a")})
	r := Reader{Paths: []string{"d"}}
	s, _, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	s.Bottles[0] = v1alpha1.Bottle{}
	remove("d/a.yaml")(t)
	if s, _, err = r.Read(); err != nil || seen(s) != "a" {
		t.Errorf("%q, %v", seen(s), err)
	}
}

func TestReferences(t *testing.T) {
	const routes = `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: NAME}
spec:
  credProxy:
    caBundle: ca.pem
    routes:
    - {path: /a/, upstream: https://a.example.com, token: {file: secrets/b}}
    - {path: /b/, upstream: https://b.example.com, token: {file: /abs/a}}
    - {path: /c/, upstream: https://c.example.com, token: {env: TOKEN}}
  services: [{name: db, image: i, env: {A: {file: service-value}, B: {env: B}}}]
  agent: {image: i, envFile: [agent.env], env: {A: {file: value}, B: {env: B}, C: c}}
`
	tree(t, map[string]string{
		"d/a.yaml": strings.Replace(routes, "NAME", "a", 1), "d/b.yaml": strings.Replace(routes, "NAME", "b", 1),
		"d/c.yaml": bottle("c"), "d/bad.yaml": strings.Replace(routes, "NAME", "bad\n  x: 1", 1),
	})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := Load("d")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/abs/a"}
	for _, path := range []string{"agent.env", "ca.pem", "secrets/b", "service-value", "value"} {
		want = append(want, filepath.Join(here, "d", path))
	}
	if diff := cmp.Diff(want, snapshot.References()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReferencesOfBuilds are directories: what is in them counts, but for what .dockerignore leaves out.
func TestReferencesOfBuilds(t *testing.T) {
	const build = `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: NAME}
spec: {agent: {build: {context: ../CONTEXT, dockerfile: sub/Dockerfile}}}
`
	manifest := func(name, context string) string {
		return strings.NewReplacer("NAME", name, "CONTEXT", context).Replace(build)
	}
	tree(t, map[string]string{
		"d/a.yaml": manifest("a", "a"), "d/b.yaml": manifest("b", "missing"),
		"a/sub/Dockerfile": "FROM scratch", "a/x/y/z": "", "a/node_modules/p/q": "", "a/.dockerignore": "node_modules",
	})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := Load("d")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range snapshot.References() {
		got = append(got, strings.TrimPrefix(path, here))
	}
	if diff := cmp.Diff([]string{"/a", "/a/sub", "/a/x", "/a/x/y", "/missing"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
