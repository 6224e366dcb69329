package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

// tree makes files below a new directory and makes it the working directory. A text that begins with
// "->" is the target of a symlink; one that ends with "/" a directory.
func tree(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for path, text := range files {
		put(t, path, text)
	}
}

// listing is what Load makes of a tree.
type listing struct {
	name  string
	files map[string]string
	paths []string // nil: the tree
	want  []string // bottles, then problems
	count int      // files
}

func (c listing) check(t *testing.T) {
	tree(t, c.files)
	if c.paths == nil {
		c.paths = []string{"."}
	}
	snapshot, err := Load(c.paths...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.want, summary(snapshot)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if snapshot.Files != c.count {
		t.Errorf("%d files, want %d", snapshot.Files, c.count)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if target, ok := strings.CutPrefix(text, "->"); ok {
		err = os.Symlink(target, path)
	} else {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// summary is the bottles and problems of a snapshot in short.
func summary(s Snapshot) []string {
	var lines []string
	for _, b := range s.Bottles {
		lines = append(lines, b.Metadata.Name)
	}
	for _, p := range s.Problems {
		lines = append(lines, p.File+": "+p.Reason)
	}
	return lines
}

var directories = []listing{
	{
		name:  "extensions and subdirectories",
		files: map[string]string{"a.yaml": bottle("a"), "b.yml": bottle("b"), "c.json": bottle("c"), "d/e/f.yaml": bottle("f"), "g.txt": "x", "h.YAML": bottle("h"), "i.yaml.bak": "x"},
		want:  []string{"a", "b", "c", "f", "h"}, count: 5,
	},
	{
		name:  "hidden names and editor droppings",
		files: map[string]string{".a.yaml": "x", ".git/a.yaml": "x", "b/.c/d.yaml": "x", "foo.yaml~": "x", ".foo.yaml.swp": "x", "#foo.yaml#": "x", "4913": "x", ".#foo.yaml": "->nobody@nowhere", "foo.yaml": bottle("foo")},
		want:  []string{"foo"}, count: 1,
	},
	{
		name:  "a hidden directory given",
		files: map[string]string{".bottles/a.yaml": bottle("a"), ".bottles/.b.yaml": "x"},
		paths: []string{".bottles"},
		want:  []string{"a"}, count: 1,
	},
	{
		name:  "a single file given counts whatever its name",
		files: map[string]string{".a": bottle("a"), "b.yaml": "x"},
		paths: []string{".a"},
		want:  []string{"a"}, count: 1,
	},
	{
		name: "kubelet's volume of a ConfigMap",
		files: map[string]string{
			"..2026_01_31_00_00_00.1/a.yaml": bottle("a"), "..2026_01_31_00_00_00.1/sub/b.yaml": bottle("b"),
			"..data": "->..2026_01_31_00_00_00.1", "a.yaml": "->..data/a.yaml", "sub": "->..data/sub",
		},
		want: []string{"a", "b"}, count: 2,
	},
	{
		name:  "git-sync's link to a worktree",
		files: map[string]string{".worktrees/abc/a.yaml": bottle("a"), ".worktrees/abc/.git": "x", "current": "->.worktrees/abc"},
		paths: []string{"current"},
		want:  []string{"a"}, count: 1,
	},
	{
		name:  "several ways to one file count once, by the shortest",
		files: map[string]string{"deep/er/a.yaml": bottle("a"), "b.yaml": "->deep/er/a.yaml", "c.yaml": "->b.yaml", "z": "->deep/er"},
		paths: []string{".", "deep", "b.yaml"},
		want:  []string{"a"}, count: 1,
	},
	{
		name:  "loops",
		files: map[string]string{"a.yaml": bottle("a"), "up": "->.", "b/c": "->../b", "x.yaml": "->y.yaml", "y.yaml": "->x.yaml"},
		want:  []string{"a", "./x.yaml: the symlink leads nowhere: too many levels of symbolic links", "./y.yaml: the symlink leads nowhere: too many levels of symbolic links"}, count: 1,
	},
	{
		name:  "links to nowhere harm nothing else",
		files: map[string]string{"a.yaml": bottle("a"), "b.yaml": "->nowhere", "team": "->gone/team", ".hidden": "->nowhere"},
		want:  []string{"a", "./b.yaml: the symlink leads nowhere: no such file or directory", "./team: the symlink leads nowhere: no such file or directory"}, count: 1,
	},
	{
		name:  "a directory named like a file",
		files: map[string]string{"a.yaml/b.yaml": bottle("b")},
		want:  []string{"b"}, count: 1,
	},
	{
		name:  "oversize, next to good ones",
		files: map[string]string{"a.yaml": bottle("a") + strings.Repeat("# larger\n", parse.MaxFileSize/9), "b.yaml": bottle("b"), "c.yaml": bottle("c") + strings.Repeat("#", parse.MaxFileSize-len(bottle("c")))},
		want:  []string{"b", "c", "./a.yaml: it is larger than 1024 KiB"}, count: 3,
	},
	{
		name:  "broken YAML ends its own file only",
		files: map[string]string{"a.yaml": bottle("a") + "---\n" + bottle("b") + "---\nx: [\n---\n" + bottle("c"), "d.yaml": bottle("d")},
		want:  []string{"a", "b", "d", "./a.yaml: it is not YAML: did not find expected node content"}, count: 2,
	},
	{
		name:  "a bad document harms no other one",
		files: map[string]string{"a.yaml": bottle("a") + "---\n" + bottle("B") + "---\nfoo: bar\n---\n" + bottle("c")},
		want:  []string{"a", "c", `./a.yaml: the name "B" is not a DNS label`, "./a.yaml: it is missing, or given twice", "./a.yaml: it is missing, or given twice"}, count: 1,
	},
	{
		name:  "byte order mark and CRLF",
		files: map[string]string{"a.yaml": "\ufeff" + strings.ReplaceAll(bottle("a"), "\n", "\r\n")},
		want:  []string{"a"}, count: 1,
	},
	{
		name:  "nothing at all",
		files: map[string]string{"a.yaml": "", "b.yaml": "# nothing\n---\n---\n"},
		want:  nil, count: 2,
	},
}

func TestDirectories(t *testing.T) {
	for _, c := range directories {
		t.Run(c.name, c.check)
	}
}

func TestPathsAreShownAsGiven(t *testing.T) {
	tree(t, map[string]string{"dir/sub/a.yaml": faultyBottle("a"), "dir/b.yaml": bottle("b")})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{"dir": "dir/sub/a.yaml", "./dir": "./dir/sub/a.yaml", "dir/": "dir/sub/a.yaml", "dir/sub/../sub/a.yaml": "dir/sub/../sub/a.yaml", here: here + "/dir/sub/a.yaml"} {
		snapshot, err := Load(given)
		if err != nil || len(snapshot.Problems) != 1 || snapshot.Problems[0].File != want {
			t.Errorf("%s: %v %v, want a problem in %s", given, snapshot.Problems, err, want)
		}
		for _, b := range snapshot.Bottles {
			if want := filepath.Join(here, "dir/b.yaml"); b.Source.Path != want {
				t.Errorf("%s: source %s, want %s", given, b.Source.Path, want)
			}
		}
	}
}

func TestLoadErrors(t *testing.T) {
	tree(t, map[string]string{"a.yaml": bottle("a"), "gone": "->nowhere"})
	for _, path := range []string{"missing", "missing.yaml", "gone", ""} {
		snapshot, err := Load("a.yaml", path)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) || len(snapshot.Bottles) > 0 {
			t.Errorf("%q: %v, %v", path, snapshot, err)
		}
	}
	if _, err := Load(); err == nil {
		t.Error("no error without a path")
	}
}

func TestNothingBlocks(t *testing.T) {
	tree(t, map[string]string{"a.yaml": bottle("a")})
	if err := syscall.Mkfifo("fifo.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, "link.yaml", "->fifo.yaml")
	done := make(chan []string, 2)
	go func() {
		for _, path := range []string{".", "fifo.yaml"} {
			snapshot, err := Load(path)
			if err != nil {
				t.Error(err)
			}
			done <- summary(snapshot)
		}
	}()
	for _, want := range [][]string{{"a", "./fifo.yaml: it is not a regular file"}, {"fifo.yaml: it is not a regular file"}} {
		select {
		case got := <-done:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Load blocks on a fifo")
		}
	}
	// A file that becomes a fifo after it was listed.
	if _, err := readRegular(file{real: absolute(place{path: "fifo.yaml"}), id: idOf(t, "fifo.yaml")}); !errors.Is(err, safepath.ErrNotRegular) {
		t.Error(err)
	}
}

func idOf(t *testing.T, path string) safepath.ID {
	t.Helper()
	found, err := resolve(path)
	if err != nil {
		t.Fatal(err)
	}
	return found.id
}

// list finds the manifest files of the paths, as if no agent could write any of them.
func list(t testing.TB, paths ...string) []file {
	t.Helper()
	w := newWalk(safepath.Set{})
	if err := w.run(paths); err != nil {
		t.Fatal(err)
	}
	return w.files
}

// TestFilesVanish reads files that were removed, or replaced, since they were listed.
func TestFilesVanish(t *testing.T) {
	tree(t, map[string]string{"a.yaml": bottle("a"), "b.yaml": bottle("b")})
	files := list(t, ".")
	if err := errors.Join(os.Remove("a.yaml"), os.WriteFile("c", nil, 0o600), os.Rename("c", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	if data, problem := readFile(files[0]); data != nil || problem != nil {
		t.Errorf("the removed file: %q, %v", data, problem)
	}
	if _, problem := readFile(files[1]); problem == nil || !strings.Contains(problem.Reason, "replaced while it was read") {
		t.Errorf("the replaced file: %v", problem)
	}
}

// TestSwappedWhileRead swaps a ConfigMap's and a worktree's link as fast as it can: every snapshot is
// all of the old or all of the new version.
func TestSwappedWhileRead(t *testing.T) {
	tree(t, map[string]string{"v/..data": "->..0", "v/a.yaml": "->..data/a.yaml", "v/b.yaml": "->..data/b.yaml"})
	version := func(name string) {
		put(t, "v/.."+name+"/a.yaml", bottle("a"+name))
		put(t, "v/.."+name+"/b.yaml", bottle("b"+name))
	}
	version("0")
	swap := func(old, next string) {
		version(next)
		if err := errors.Join(os.Symlink(".."+next, "v/..tmp"), os.Rename("v/..tmp", "v/..data"), os.RemoveAll("v/.."+old)); err != nil {
			t.Error(err)
		}
	}
	old, next := "0", "1"
	for i := range 300 {
		swapped := make(chan struct{})
		// Once: a directory that never rests is taken as it is. The delay has it come at every moment of the reading.
		time.AfterFunc(time.Duration(i)*3*time.Microsecond, func() {
			defer close(swapped)
			swap(old, next)
		})
		snapshot, err := Load("v")
		<-swapped
		old, next = next, old
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(snapshot); !slices.Equal(got, []string{"a0", "b0"}) && !slices.Equal(got, []string{"a1", "b1"}) {
			t.Errorf("neither version: %v", got)
		}
	}
}

func TestTooManyDocuments(t *testing.T) {
	const most = 1000
	var text strings.Builder
	for range most + 10 {
		text.WriteString(bottle("same") + "---\n")
	}
	tree(t, map[string]string{"a.yaml": text.String()})
	snapshot, err := Load("a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Documents != most || len(snapshot.UnknownDocuments()) != 1 || len(snapshot.Problems) != most+1 {
		t.Errorf("%d documents, %d problems, unknown: %v", snapshot.Documents, len(snapshot.Problems), snapshot.UnknownDocuments())
	}
	if p := snapshot.UnknownDocuments()[0]; p.Line != most*5 {
		t.Error(p)
	}
}
