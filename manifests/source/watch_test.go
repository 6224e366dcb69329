package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"

	"github.com/fsnotify/fsnotify"
)

const (
	patience = 10 * time.Second       // for what must happen
	silence  = 320 * time.Millisecond // in which what must not happen would have
)

// grow makes files below a new directory, as tree does, and returns it. The test's working directory stays.
func grow(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		plant(t, filepath.Join(root, path), text)
	}
	return root
}

func plant(t testing.TB, path, text string) {
	t.Helper()
	target, link := strings.CutPrefix(text, "->")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	switch {
	case err != nil:
	case link:
		err = os.Symlink(target, path)
	case text == "/":
		err = os.Mkdir(path, 0o755)
	default:
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// watching is a watcher under test.
type watching struct {
	*Watcher
	t testing.TB

	mu       sync.Mutex
	warnings []string
}

func startWatching(t testing.TB, paths ...string) *watching {
	t.Helper()
	return startWatchingWith(t, theKernel, paths...)
}

func startWatchingWith(t testing.TB, k kernel, paths ...string) *watching {
	t.Helper()
	return startWatchingBeside(t, k, safepath.Set{}, paths...)
}

func startWatchingBeside(t testing.TB, k kernel, writable safepath.Set, paths ...string) *watching {
	t.Helper()
	w := &watching{t: t}
	var err error
	if w.Watcher, err = watch(WatchOptions{Paths: paths, Warn: w.remember, Writable: writable}, k); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watching) remember(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings = append(w.warnings, err.Error())
}

// heard returns the warnings so far.
func (w *watching) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.warnings)
}

func (w *watching) expectWarnings(parts ...string) {
	w.t.Helper()
	got := w.heard()
	if len(got) != len(parts) {
		w.t.Errorf("warnings %q, want %q", got, parts)
		return
	}
	for i, part := range parts {
		if !strings.Contains(got[i], part) {
			w.t.Errorf("warning %q, want %q", got[i], part)
		}
	}
}

// expect waits for a change, and until no other follows.
func (w *watching) expect(what string) {
	w.t.Helper()
	for limit := patience; ; limit = silence {
		select {
		case <-w.Changes():
			continue
		case <-time.After(limit):
		}
		if limit == patience {
			w.t.Fatalf("%s: no change was told", what)
		}
		return
	}
}

func (w *watching) expectNothing(what string) {
	w.t.Helper()
	select {
	case <-w.Changes():
		w.t.Errorf("%s: a change was told", what)
	case <-time.After(silence):
	}
}

// must makes a step of what can only fail by a mistake of the test.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// sh runs a program that has to be there.
func sh(t testing.TB, dir string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\n(this test needs %s; on Debian and Ubuntu: apt install %[1]s)", command[0], err, out, command[0])
	}
}

// act is something that happens in the directory of a test, and whether it is to be told.
type act struct {
	what string
	tell bool
	do   func(t *testing.T, at func(string) string)
}

func write(path, text string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) { plant(t, at(path), text) }
}

func move(from, to string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) { must(t, os.Rename(at(from), at(to))) }
}

func unlink(path string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) { must(t, os.RemoveAll(at(path))) }
}

// swap replaces a symlink as git-sync and kubelet do.
func swap(link, target string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) {
		must(t, os.Symlink(target, at(link+".tmp")), os.Rename(at(link+".tmp"), at(link)))
	}
}

func chmod(path string, mode os.FileMode) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) { must(t, os.Chmod(at(path), mode)) }
}

func inTurn(all ...func(*testing.T, func(string) string)) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) {
		for _, do := range all {
			do(t, at)
		}
	}
}

// vim saves as vim does with its defaults: a probe, the old file to a backup, a new one.
func vim(path, text string) func(*testing.T, func(string) string) {
	dir := filepath.Dir(path)
	return inTurn(write(dir+"/4913", ""), chmod(dir+"/4913", 0o644), unlink(dir+"/4913"),
		move(path, path+"~"), write(path, text), chmod(path, 0o644), unlink(path+"~"))
}

// vscode saves as VS Code does: it empties the file and writes it.
func vscode(path, text string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) {
		f, err := os.OpenFile(at(path), os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		for _, line := range strings.SplitAfter(text, "\n") {
			_, err = f.WriteString(line)
			must(t, err)
			time.Sleep(20 * time.Millisecond)
		}
		must(t, f.Sync(), f.Close())
	}
}

func sed(path, script string) func(*testing.T, func(string) string) {
	return func(t *testing.T, at func(string) string) { sh(t, at("."), "sed", "-i", script, at(path)) }
}

var watchCases = []struct {
	name  string
	files map[string]string
	paths []string // r if nil
	acts  []act
}{
	{name: "files", files: map[string]string{"r/a.yaml": version("a", "1"), "r/README": "x"}, acts: []act{
		{"dropped", true, write("r/b.yaml", bottle("b"))},
		{"edited in place", true, write("r/a.yaml", version("a", "2"))},
		{"saved by vim", true, vim("r/a.yaml", version("a", "3"))},
		{"saved by VS Code", true, vscode("r/a.yaml", version("a", "4"))},
		{"edited by sed", true, sed("r/a.yaml", "s/4/5/")},
		{"renamed", true, move("r/b.yaml", "r/c.yml")},
		{"made another name's", true, move("r/c.yml", "r/c.json")},
		{"mode", true, chmod("r/a.yaml", 0o644)},
		{"moved out", true, move("r/c.json", "c.json")},
		{"moved in", true, move("c.json", "r/c.json")},
		{"removed", true, unlink("r/c.json")},
		{"linked", true, write("r/l.yaml", "->a.yaml")},
		{"replaced by a directory", true, inTurn(unlink("r/l.yaml"), write("r/l.yaml/x.yaml", bottle("x")))},
		{"in that directory", true, write("r/l.yaml/y.yaml", bottle("y"))},
	}},
	{name: "claude-bottle's files", files: map[string]string{"r/a.md": supervised}, acts: []act{
		{"edited in place", true, write("r/a.md", "---\nsupervise: false\n---\n")},
		{"saved by vim", true, vim("r/a.md", supervised)},
		{"dropped", true, write("r/b.md", supervised)},
		{"becomes a manifest", true, inTurn(write("r/b.yaml", bottle("b")), unlink("r/b.md"))},
		{"removed", true, unlink("r/a.md")},
	}},
	{name: "what Load ignores", files: map[string]string{"r/a.yaml": bottle("a"), "r/README": "x", "r/.git/index": "x", "r/s/b.yaml": bottle("b")}, acts: []act{
		{"swap file", false, inTurn(write("r/.a.yaml.swp", "x"), write("r/.a.yaml.swp", "xy"), unlink("r/.a.yaml.swp"))},
		{"probe and backup", false, inTurn(write("r/4913", ""), write("r/a.yaml~", "x"), unlink("r/4913"), unlink("r/a.yaml~"))},
		{"another file", false, inTurn(write("r/README", "y"), chmod("r/README", 0o644), move("r/README", "r/LICENSE"), unlink("r/LICENSE"))},
		{"a hidden directory", false, inTurn(write("r/.git/a.yaml", "x"), write("r/.new/a.yaml", "x"), unlink("r/.new"))},
		{"a hidden link", false, inTurn(write("r/.#a.yaml", "->me@host"), unlink("r/.#a.yaml"))},
		{"beside the directory", false, inTurn(write("b.yaml", bottle("b")), write("s/b.yaml", bottle("b")), unlink("b.yaml"))},
		{"a file that is replaced by one that does not count", false, inTurn(write("r/s/x", "x"), move("r/s/x", "r/s/y"))},
		{"still awake", true, write("r/s/c.yaml", bottle("c"))},
	}},
	{name: "directories", files: map[string]string{"r/a.yaml": bottle("a"), "deep/1/2/3/x.yaml": bottle("x"), "b/x.yaml": bottle("bx")}, acts: []act{
		{"a new one", true, write("r/new", "/")},
		{"in it", true, write("r/new/b.yaml", bottle("b"))},
		{"a deep tree moved in", true, move("deep", "r/deep")},
		{"at its bottom", true, write("r/deep/1/2/3/x.yaml", version("x", "2"))},
		{"a deep tree made", true, write("r/p/q/s/t/y.yaml", bottle("y"))},
		{"at its bottom", true, write("r/p/q/s/t/y.yaml", version("y", "2"))},
		{"renamed", true, move("r/deep", "r/depth")},
		{"in the renamed one's depth", true, write("r/depth/1/2/3/x.yaml", version("x", "3"))},
		{"in the renamed one", true, write("r/depth/z.yaml", bottle("z"))},
		{"exchanged", true, inTurn(move("r/new", "r/.tmp"), move("r/depth", "r/new"), move("r/.tmp", "r/depth"))},
		{"in the first", true, write("r/new/z.yaml", version("z", "2"))},
		{"in the second", true, write("r/depth/b.yaml", version("b", "2"))},
		{"hidden", true, move("r/new", "r/.new")},
		{"in the hidden one", false, write("r/.new/z.yaml", version("z", "3"))},
		{"shown again", true, move("r/.new", "r/new")},
		{"in it", true, write("r/new/z.yaml", version("z", "4"))},
		{"moved out", true, move("r/new", "out")},
		{"out there", false, write("out/z.yaml", version("z", "5"))},
		{"mode", true, chmod("r/depth", 0o700)},
		{"removed", true, unlink("r/depth")},
		{"replaced", true, inTurn(move("r/p", "p"), move("b", "r/p"))},
		{"in the new one", true, write("r/p/x.yaml", version("bx", "2"))},
		{"in the old one", false, write("p/q/s/t/y.yaml", version("y", "3"))},
	}},
	{name: "the directory itself", files: map[string]string{"up/r/a.yaml": bottle("a"), "new/a.yaml": version("a", "2")}, paths: []string{"up/r"}, acts: []act{
		{"removed", true, unlink("up/r")},
		{"beside it", false, write("up/other/a.yaml", bottle("a"))},
		{"appears", true, write("up/r/a.yaml", bottle("a"))},
		{"in it", true, write("up/r/b.yaml", bottle("b"))},
		{"replaced", true, inTurn(move("up/r", "up/old"), move("new", "up/r"))},
		{"in the new one", true, write("up/r/b.yaml", version("b", "2"))},
		{"in the old one", false, write("up/old/b.yaml", version("b", "3"))},
		{"with all above removed", true, unlink("up")},
		{"all above appears", true, write("up/r/c.yaml", bottle("c"))},
		{"in it", true, write("up/r/c.yaml", version("c", "2"))},
		{"the one above renamed", true, move("up", "down")},
		{"in the renamed one", false, write("down/r/c.yaml", version("c", "3"))},
		{"renamed back", true, move("down", "up")},
		{"in it", true, write("up/r/c.yaml", version("c", "4"))},
		{"becomes a file", true, inTurn(unlink("up/r"), write("up/r", bottle("r")))},
		{"written", true, write("up/r", version("r", "2"))},
		{"is a link into nothing", true, inTurn(unlink("up/r"), write("up/r", "->../far/away"))},
		{"which is filled", true, write("far/away/a.yaml", bottle("a"))},
		{"in it", true, write("far/away/a.yaml", version("a", "2"))},
	}},
	{name: "not there yet", files: map[string]string{"x": "x"}, paths: []string{"1/2/r", "f.yaml"}, acts: []act{
		{"above", true, write("1/x", "x")}, // what it leads to may be there
		{"beside", false, write("1/y", "x")},
		{"appears", true, write("1/2/r/a.yaml", bottle("a"))},
		{"in it", true, write("1/2/r/a.yaml", version("a", "2"))},
		{"the file appears", true, write("f.yaml", bottle("f"))},
	}},
	{name: "git-sync", paths: []string{"root", "root/bottles"}, files: map[string]string{
		".worktrees/1/bottles/a.yaml": bottle("a"), ".worktrees/2/bottles/a.yaml": version("a", "2"), ".worktrees/3/bottles/a.yaml": version("a", "3"), "root": "->.worktrees/1",
	}, acts: []act{
		{"in the worktree", true, write(".worktrees/1/bottles/a.yaml", version("a", "1"))},
		{"swapped", true, swap("root", ".worktrees/2")},
		{"the old one removed", false, unlink(".worktrees/1")},
		{"in the worktree", true, write(".worktrees/2/bottles/b.yaml", bottle("b"))},
		{"in another one", false, write(".worktrees/3/bottles/b.yaml", bottle("b"))},
		{"swapped and removed", true, inTurn(swap("root", ".worktrees/3"), unlink(".worktrees/2"))},
		{"in the worktree", true, write(".worktrees/3/bottles/b.yaml", version("b", "2"))},
	}},
	{name: "git-sync below the path", paths: []string{"x/root/bottles/team"}, files: map[string]string{
		"wt/1/b/team/a.yaml": bottle("a"), "wt/1/bottles": "->b", "wt/2/b/team/a.yaml": version("a", "2"), "wt/2/bottles": "->../2/b", "x": "->y", "y/root": "->../wt/1",
	}, acts: []act{
		{"swapped", true, swap("y/root", "../wt/2")},
		{"in the worktree", true, write("wt/2/b/team/a.yaml", version("a", "3"))},
		{"a link further down swapped", true, swap("wt/2/bottles", "../1/b")},
		{"in what it leads to", true, write("wt/1/b/team/a.yaml", version("a", "4"))},
		{"a link further up swapped", true, inTurn(write("z/root", "->../wt/2"), swap("x", "z"))},
		{"what it led to", false, swap("y/root", "../wt/2")},
	}},
	{name: "a ConfigMap", files: map[string]string{
		"r/..1/a.yaml": bottle("a"), "r/..1/sub/b.yaml": bottle("b"), "r/..2/a.yaml": version("a", "2"), "r/..2/sub/b.yaml": bottle("b"), "r/..2/c.yaml": bottle("c"),
		"r/..data": "->..1", "r/a.yaml": "->..data/a.yaml", "r/sub": "->..data/sub",
	}, acts: []act{
		{"the next version is written", false, write("r/..3/a.yaml", version("a", "3"))},
		{"swapped", true, inTurn(swap("r/..data", "..2"), write("r/c.yaml", "->..data/c.yaml"), unlink("r/..1"))},
		{"in the new version", true, write("r/..2/sub/b.yaml", version("b", "2"))},
		{"swapped again", true, inTurn(swap("r/..data", "..3"), unlink("r/c.yaml"), unlink("r/sub"), unlink("r/..2"))},
		{"in the new version", true, write("r/..3/a.yaml", version("a", "4"))},
	}},
	{name: "a single file", paths: []string{"r/a"}, files: map[string]string{"r/a": bottle("a"), "r/b.yaml": bottle("b")}, acts: []act{
		{"another one", false, inTurn(write("r/b.yaml", version("b", "2")), write("r/c.yaml", bottle("c")), write("r/d/e.yaml", bottle("e")))},
		{"written", true, write("r/a", version("a", "2"))},
		{"saved by vim", true, vim("r/a", version("a", "3"))},
		{"edited by sed", true, sed("r/a", "s/3/4/")},
		{"removed", true, unlink("r/a")},
		{"back", true, write("r/a", bottle("a"))},
		{"replaced by a link", true, inTurn(write("o/a", version("a", "5")), swap("r/a", "../o/a"))},
		{"written there", true, write("o/a", version("a", "6"))},
	}},
	{name: "links out of the directory", files: map[string]string{"r/team": "->../team", "r/b.yaml": "->../o/b", "r/nowhere": "->../later/on", "team/a.yaml": bottle("a"), "o/b": bottle("b")}, acts: []act{
		{"in the directory", true, write("team/a.yaml", version("a", "2"))},
		{"the file", true, write("o/b", version("b", "2"))},
		{"the file, replaced", true, inTurn(write("o/c", version("b", "3")), move("o/c", "o/b"))},
		{"beside the file", false, write("o/d.yaml", bottle("d"))},
		{"one that leads nowhere does", true, write("later/on/d.yaml", bottle("d"))},
		{"in there", true, write("later/on/d.yaml", version("d", "2"))},
		{"led elsewhere", true, inTurn(write("team2/a.yaml", version("a", "3")), swap("r/team", "../team2"))},
		{"elsewhere", true, write("team2/a.yaml", version("a", "4"))},
		{"where it led before", false, write("team/a.yaml", version("a", "5"))},
		{"removed", true, unlink("r/team")},
		{"what it led to", false, write("team2/a.yaml", version("a", "6"))},
	}},
}

func TestWatch(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup // they wait most of the time: more of them run side by side than there are processors
	defer all.Wait()
	for _, c := range watchCases {
		all.Go(func() {
			t.Run(c.name, func(t *testing.T) {
				root := grow(t, c.files)
				at := func(path string) string { return filepath.Join(root, path) }
				paths := []string{at("r")}
				if c.paths != nil {
					paths = nil
					for _, path := range c.paths {
						paths = append(paths, at(path))
					}
				}
				w := startWatching(t, paths...)
				w.expectNothing("at the start")
				for _, a := range c.acts {
					a.do(t, at)
					if a.tell {
						w.expect(a.what)
					} else {
						w.expectNothing(a.what)
					}
				}
				w.expectWarnings()
			})
		})
	}
}

// TestWatchTellsWhatIsComplete reads after the first signal: whatever way a file was saved, it is whole.
func TestWatchTellsWhatIsComplete(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(*testing.T, func(string) string){
		"vim": vim("r/a.yaml", version("a", "2")), "VS Code": vscode("r/a.yaml", version("a", "2")), "sed": sed("r/a.yaml", `s/v: "1"/v: "2"/`),
	} {
		t.Run(name, func(t *testing.T) {
			root := grow(t, map[string]string{"r/a.yaml": version("a", "1")})
			w := startWatching(t, root+"/r")
			save(t, func(path string) string { return filepath.Join(root, path) })
			select {
			case <-w.Changes():
			case <-time.After(patience):
				t.Fatal("no change was told")
			}
			s, err := Load(root + "/r")
			if got := seen(s); err != nil || got != "a=2" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestWatchPaths gives paths in ways that are not their shortest.
func TestWatchPaths(t *testing.T) {
	root := grow(t, map[string]string{"x/y/r/a.yaml": bottle("a"), "x/y/w/here": "x", "link": "->x/y/w"})
	t.Chdir(root + "/link") // $PWD has the link in it
	for i, path := range []string{"../r", "../r/", "./../../y/r", root + "/link/../r", root + "//x/./y/r/."} {
		s, err := Load(path)
		if err != nil || len(s.Bottles) != 1 || !sameFile(t, s.Bottles[0].Source.Path, root+"/x/y/r/a.yaml") {
			t.Errorf("%s: %v, %v", path, s, err)
		}
		w := startWatching(t, path)
		plant(t, root+"/x/y/r/a.yaml", version("a", fmt.Sprint(i)))
		w.expect(path)
		w.expectWarnings()
	}
	for _, paths := range [][]string{{""}, {root, ""}} {
		if _, err := Watch(WatchOptions{Paths: paths}); err == nil {
			t.Errorf("no error for %q", paths)
		}
	}
	w := startWatching(t, ".")
	plant(t, root+"/x/y/w/b.yaml", bottle("b"))
	w.expect("the working directory")
	w.expectWarnings()
	s, err := Load(".")
	if err != nil || len(s.Bottles) != 1 || s.Bottles[0].Source.Path != root+"/link/b.yaml" { // which stays when the link is swapped
		t.Errorf("%v, %v", s, err)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	must(t, errA, errB)
	return os.SameFile(infoA, infoB)
}

func TestFollow(t *testing.T) {
	t.Parallel()
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
	for _, a := range []act{
		{"written", true, write("s/token", "3")},
		{"replaced", true, inTurn(write("s/new", "4"), move("s/new", "s/token"))},
		{"another one", false, write("s/other", "2")},
		{"swapped by kubelet", true, inTurn(swap("v/..data", "..2"), unlink("v/..1"))},
		{"the directory of one that is missing", true, write("later/x", "x")},
		{"there", true, write("later/token", "1")},
		{"removed", true, unlink("later")},
	} {
		a.do(t, at)
		if a.tell {
			w.expect(a.what)
		} else {
			w.expectNothing(a.what)
		}
	}
	w.Follow(files[1:], safepath.Set{})
	w.expect("followed no more")
	write("s/token", "5")(t, at)
	w.expectNothing("what is followed no more")
	w.expectWarnings()
}

// TestFollowDirectory: of a directory that is followed everything counts, by whatever name, but nothing below.
func TestFollowDirectory(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "c/Dockerfile": "1", "c/sub/x": "1", "v/1/x": "1", "v/now": "->1"})
	at := func(path string) string { return filepath.Join(root, path) }
	w := startWatching(t, at("r"))
	w.Follow([]string{at("c"), at("v/now"), at("later")}, safepath.Set{})
	w.expect("followed")
	for _, a := range []act{
		{"written", true, write("c/Dockerfile", "2")},
		{"replaced", true, inTurn(write("c/.new", "3"), move("c/.new", "c/Dockerfile"))},
		{"made executable", true, func(t *testing.T, at func(string) string) { t.Helper(); must(t, os.Chmod(at("c/Dockerfile"), 0o755)) }},
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
	} {
		a.do(t, at)
		if a.tell {
			w.expect(a.what)
		} else {
			w.expectNothing(a.what)
		}
	}
	w.expectWarnings()
}

// TestAgentsDirectoryIsNotWatched: what an agent writes, and where its links lead, neither wakes anybody nor takes a watch.
func TestAgentsDirectoryIsNotWatched(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/work/deep/x": "1", "r/work/root": "->/", "other/x": "1"})
	at := func(path string) string { return filepath.Join(root, path) }
	place, err := safepath.NewPlace(at("r/work"))
	must(t, err)
	w := startWatchingBeside(t, theKernel, safepath.NewSet(place), at("r"))
	for _, a := range []act{
		{"a manifest in it", false, write("r/work/evil.yaml", bottle("evil"))},
		{"a directory in it", false, write("r/work/more/evil.yaml", bottle("evil"))},
		{"far below", false, write("r/work/deep/evil.yaml", bottle("evil"))},
		{"beside it", true, write("r/b.yaml", bottle("b"))},
	} {
		a.do(t, at)
		if a.tell {
			w.expect(a.what)
		} else {
			w.expectNothing(a.what)
		}
	}
	must(t, w.Close())
	for dir := range w.seen.dirs {
		if strings.HasPrefix(dir, at("r/work")) || dir == "/usr" {
			t.Errorf("%s is watched", dir)
		}
	}
}

// TestFollowOnly is for manifests that are no files.
func TestFollowOnly(t *testing.T) {
	t.Parallel()
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

// TestWatchCheckout has git write 500 files: that is one change.
func TestWatchCheckout(t *testing.T) {
	const files = 500
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
	checkout := func(tag string) func() {
		return func() { sh(t, repo, "git", "checkout", "-q", tag) }
	}
	for _, v := range []struct{ from, to string }{{"v1", "v2"}, {"v2", "v1"}} {
		w.expectOne("checkout of "+v.to, repo, checkout(v.to), checkout(v.from))
	}
	plant(t, repo+"/team-1-7/sub/b7.yaml", version("b7", "3"))
	w.expect("in a directory that is new")
	w.expectWarnings()
}

// TestWatchSlowWriter makes a directory and fills it slowly: that is one change as well.
func TestWatchSlowWriter(t *testing.T) {
	root := grow(t, map[string]string{"a.yaml": bottle("a")})
	w := startWatching(t, root)
	w.expectOne("filling", root, func() {
		must(t, os.MkdirAll(root+"/p/q", 0o755))
		time.Sleep(quiet / 2)
		for i := range 8 {
			plant(t, fmt.Sprintf("%s/p/q/%d.yaml", root, i), bottle("x"))
			time.Sleep(2 * quiet)
		}
	}, func() { must(t, os.RemoveAll(root+"/p")) })
}

// expectOne expects one signal for something that writes files. On a machine that is too slow for that, the change is told in
// parts, and rightly; so it is undone and tried again.
func (w *watching) expectOne(what, dir string, do, undo func()) {
	w.t.Helper()
	for range 5 {
		told := w.count()
		began := time.Now()
		do()
		took, pause := time.Since(began), longestPause(w.t, dir, began)
		time.Sleep(quietAfterWrite + silence)
		count := told()
		w.t.Logf("%s took %s with a pause of at most %s: %d signals", what, took, pause, count)
		if took < maxDelay/2 && pause < quietAfterWrite/2 {
			if count != 1 {
				w.t.Errorf("%s: %d signals", what, count)
			}
			return
		}
		undo()
		w.expect("undoing")
	}
	w.t.Errorf("%s: this machine was never fast enough for a verdict", what)
}

// count takes the signals from now on, until the function returned is called, which says how many there were.
func (w *watching) count() (stop func() int) {
	stopped, counted := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; {
			select {
			case <-w.Changes():
				n++
			case <-stopped:
				counted <- n
				return
			}
		}
	}()
	return func() int {
		close(stopped)
		return <-counted
	}
}

// longestPause is the longest time between two writes since a moment.
func longestPause(t testing.TB, dir string, since time.Time) time.Duration {
	files := list(t, dir)
	times := []time.Time{}
	for _, f := range files {
		if f.changed.After(since) {
			times = append(times, f.changed)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

// TestWatchInjectedOverflow loses a watch that only looking again brings back.
func TestWatchInjectedOverflow(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	must(t, w.notify.Remove(root+"/s"))
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expectNothing("without a watch")
	for range 2 {
		w.notify.Errors <- fsnotify.ErrEventOverflow
		w.expect("overflow")
		w.expectWarnings("fs.inotify.max_queued_events")
	}
	plant(t, root+"/s/a.yaml", version("a", "3"))
	w.expect("in what is watched again")
}

// TestWatchOverflow makes the kernel lose events, by keeping the watcher from taking them.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var limit int
	_, err = fmt.Sscan(string(text), &limit)
	must(t, err)
	root := grow(t, map[string]string{"a.yaml": bottle("a")})
	w := startWatching(t, root)
	w.Watcher.mu.Lock() // which a look waits for
	plant(t, root+"/a.yaml", version("a", "2"))
	time.Sleep(quietAfterWrite + 5*silence) // until it waits, also on a busy machine
	for i := range limit/2 + 4096 {         // two events each; fsnotify takes some out of the queue
		path := fmt.Sprintf("%s/x%d", root, i%2)
		must(t, os.Mkdir(path, 0o755), os.Remove(path))
	}
	plant(t, root+"/new/b.yaml", bottle("b"))
	w.Watcher.mu.Unlock()
	w.expect("overflow")
	w.expectWarnings("fs.inotify.max_queued_events")
	plant(t, root+"/new/b.yaml", version("b", "2"))
	w.expect("in the directory whose event was lost")
}

// TestWatchBroken has an error that no one knows: the notifications are set up anew.
func TestWatchBroken(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"s/a.yaml": bottle("a")})
	w := startWatching(t, root)
	first := w.notify
	first.Errors <- syscall.EINVAL // fsnotify's, of no meaning
	w.expect("nothing is known after an error")
	w.expectWarnings()
	first.Errors <- syscall.EIO
	w.expect("nothing is known after an error")
	w.expectWarnings("input/output error; they are set up anew")
	if first.WatchList() != nil {
		t.Error("the broken notifications are open")
	}
	plant(t, root+"/s/a.yaml", version("a", "2"))
	w.expect("edited")
}

const retry = 100 * time.Millisecond

// short is a kernel that refuses while it is told to.
type short struct {
	open, add atomic.Pointer[syscall.Errno]
	calls     atomic.Int64
}

func (s *short) kernel() kernel {
	return kernel{
		open: func() (*fsnotify.Watcher, error) {
			s.calls.Add(1)
			if errno := s.open.Load(); errno != nil {
				return nil, *errno
			}
			return fsnotify.NewWatcher()
		},
		add: func(n *fsnotify.Watcher, dir string) error {
			s.calls.Add(1)
			if errno := s.add.Load(); errno != nil {
				return *errno
			}
			return n.Add(dir)
		},
		retry: retry,
	}
}

func errno(e syscall.Errno) *syscall.Errno { return &e }

// TestWatchWithout has no notifications, and later some.
func TestWatchWithout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse func(*short)
		allow  func(*short)
		warn   string
	}{
		"no instance": {func(s *short) { s.open.Store(errno(syscall.EMFILE)) }, func(s *short) { s.open.Store(nil) }, "fs.inotify.max_user_instances"},
		"no watches":  {func(s *short) { s.add.Store(errno(syscall.ENOSPC)) }, func(s *short) { s.add.Store(nil) }, "fs.inotify.max_user_watches"},
		"forbidden":   {func(s *short) { s.add.Store(errno(syscall.EACCES)) }, func(s *short) { s.add.Store(nil) }, "give bottled the permission"},
		"unheard of":  {func(s *short) { s.add.Store(errno(syscall.ENOMEM)) }, func(s *short) { s.add.Store(nil) }, "another path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "token": "1"})
			var s short
			c.refuse(&s)
			w := startWatchingWith(t, s.kernel(), root+"/r")
			w.expect("the warning") // what was missed before it is not known
			w.expectWarnings(c.warn)
			if late := w.Late(); len(late) != 1 || !strings.Contains(late[0], c.warn) {
				t.Errorf("late for %q, want %q", late, c.warn)
			}
			w.expectNothing("nothing happens")
			plant(t, root+"/r/s/a.yaml", version("a", "2"))
			w.expect("edited")
			w.Follow([]string{root + "/token"}, safepath.Set{})
			w.expect("followed")
			plant(t, root+"/token", "22")
			w.expect("a followed file, edited")
			must(t, os.Rename(root+"/r", root+"/q"))
			w.expect("the directory is gone")
			must(t, os.Rename(root+"/q", root+"/r"))
			w.expect("the directory is back")
			w.expectWarnings(c.warn)
			c.allow(&s)
			time.Sleep(retry + silence)
			calls := s.calls.Load()
			plant(t, root+"/r/s/a.yaml", version("a", "3"))
			w.expect("edited when all is well again")
			if more := s.calls.Load() - calls; more != 0 {
				t.Errorf("%d calls: it is still trying", more)
			}
			if late := w.Late(); len(late) > 0 {
				t.Errorf("late for %q, and all is well", late)
			}
			w.expectWarnings(c.warn)
		})
	}
}

// TestWatchLimit reaches the limit when directories are added.
func TestWatchLimit(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	var s short
	w := startWatchingWith(t, s.kernel(), root+"/r")
	for range 2 { // well in between: warned again
		s.add.Store(errno(syscall.ENOSPC))
		plant(t, root+"/r/s/b.yaml", bottle("b"))
		w.expect("a new directory")
		plant(t, root+"/r/s/b.yaml", version("b", "2"))
		w.expect("edited where nothing notifies")
		must(t, os.Mkdir(root+"/r/t", 0o755))
		w.expect("another directory")
		s.add.Store(nil)
		must(t, os.RemoveAll(root+"/r/s"), os.Remove(root+"/r/t"))
		w.expect("the new directories are gone")
	}
	w.expectWarnings("directory "+root+"/r/s: no space left on device; raise sysctl fs.inotify.max_user_watches", "max_user_watches")
}

// TestWatchUnreadable has a directory below the path that can't be read: Load tells that, and there is nothing to be missed.
func TestWatchUnreadable(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/s/b.yaml": bottle("b")})
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm() == 0 {
			return syscall.EACCES
		}
		return n.Add(dir)
	}
	w := startWatchingWith(t, k, root+"/r")
	must(t, os.Chmod(root+"/r/s", 0))
	w.expect("closed")
	must(t, os.Chmod(root+"/r/s", 0o700))
	w.expect("opened")
	plant(t, root+"/r/s/b.yaml", version("b", "2"))
	w.expect("edited")
	w.expectWarnings()
}

// standing is a watcher whose goroutine doesn't run; the test makes its moves.
func standing(t *testing.T, k kernel, paths ...string) *Watcher {
	w := &Watcher{paths: paths, kernel: k, changes: make(chan struct{}, 1), warned: map[string]bool{}}
	t.Cleanup(func() { must(t, w.drop()) })
	w.lookAround()
	w.news = debounce{} // warnings are news
	return w
}

// TestWatchPolls looks for what nothing notified of.
func TestWatchPolls(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	k := theKernel
	k.add = func(*fsnotify.Watcher, string) error { return nil } // so that no notification comes
	w := standing(t, k, root+"/r")
	if left := time.Until(w.poll); left > pollEvery {
		t.Errorf("the next look is in %s, though nothing is watched", left)
	}
	if w.lookAround(); !w.news.due.IsZero() {
		t.Error("nothing happened, and that was news")
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	w.act(w.poll)
	if w.news.due.IsZero() {
		t.Error("a change was not noticed")
	}
}

// TestWatchTellsOnce looks, a minute after a change was told, whether there is anything new.
func TestWatchTellsOnce(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a")})
	w := standing(t, theKernel, root+"/r")
	if left := time.Until(w.poll); left < pollAlways/2 {
		t.Errorf("the next look is in %s", left)
	}
	plant(t, root+"/r/a.yaml", version("a", "2"))
	w.event(<-w.notify.Events)
	w.act(w.news.due)
	if len(w.changes) != 1 || !w.news.due.IsZero() {
		t.Error("not told")
	}
	if w.act(w.poll); !w.news.due.IsZero() {
		t.Error("told, and still news")
	}
}

// TestWatchMountedOver has another directory in the place of one without an event, as a mount does.
func TestWatchMountedOver(t *testing.T) {
	root := grow(t, map[string]string{"r/s/a.yaml": bottle("a"), "o/x": "x"})
	var added []string
	k := theKernel
	k.add = func(n *fsnotify.Watcher, dir string) error {
		added = append(added, dir)
		return n.Add(dir)
	}
	w := standing(t, k, root+"/r")
	added = nil
	w.lookAround()
	if len(added) > 0 {
		t.Errorf("%q are watched already", added)
	}
	other, err := os.Lstat(root + "/o")
	must(t, err)
	w.seen.dirs[root+"/r/s"].info = other
	w.lookAround()
	if !slices.Equal(added, []string{root + "/r/s"}) {
		t.Errorf("watched anew: %q", added)
	}
	plant(t, root+"/r/s/a.yaml", version("a", "2"))
	if e := <-w.notify.Events; e.Name != root+"/r/s/a.yaml" {
		t.Error(e)
	}
}

// TestWatchClose ends watchers, some in the middle of something.
func TestWatchClose(t *testing.T) {
	root := grow(t, map[string]string{"a.yaml": bottle("a")})
	before := instances(t)
	for i := range 20 {
		w, err := Watch(WatchOptions{Paths: []string{root}})
		must(t, err)
		var writing sync.WaitGroup
		writing.Go(func() {
			for j := range 20 * (i % 2) {
				plant(t, fmt.Sprintf("%s/s%d/%d.yaml", root, i, j), bottle("x"))
				w.Follow([]string{fmt.Sprintf("%s/%d", root, j)}, safepath.Set{})
			}
		})
		var closing sync.WaitGroup
		for range 2 {
			closing.Go(func() {
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closing.Wait()
		writing.Wait()
		w.Follow(nil, safepath.Set{}) // harmless
		must(t, w.Close())
	}
	if after := instances(t); after != before {
		t.Errorf("%d inotify instances, %d before", after, before)
	}
	if left := goroutines("manifests.(*Watcher)", "fsnotify."); left != "" {
		t.Errorf("still running:\n%s", left)
	}
}

func TestDebounce(t *testing.T) {
	const none = -1
	type event struct{ at, wait time.Duration }
	for name, c := range map[string]struct {
		events []event
		due    time.Duration
	}{
		"none":                       {nil, none},
		"one":                        {[]event{{0, quiet}}, quiet},
		"a write":                    {[]event{{0, quietAfterWrite}}, quietAfterWrite},
		"several":                    {[]event{{0, quiet}, {30 * ms, quiet}, {60 * ms, quiet}}, 60*ms + quiet},
		"a rename soon after writes": {[]event{{0, quietAfterWrite}, {100 * ms, quietAfterWrite}, {110 * ms, quiet}}, 100*ms + quietAfterWrite},
		"a rename long after writes": {[]event{{0, quietAfterWrite}, {240 * ms, quiet}}, 240*ms + quiet},
		"for ever":                   {[]event{{0, quiet}, {1900 * ms, quietAfterWrite}, {1990 * ms, quietAfterWrite}}, maxDelay},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var d debounce
			for _, e := range c.events {
				d.event(start.Add(e.at), e.wait)
			}
			if c.due == none {
				if !d.due.IsZero() {
					t.Error(d.due)
				}
			} else if got := d.due.Sub(start); got != c.due {
				t.Errorf("due after %s, want %s", got, c.due)
			}
		})
	}
}

// BenchmarkRename measures from a rename into place to the signal. The median is to be below 60 ms, 40 of which are waited.
func BenchmarkRename(b *testing.B) {
	root := grow(b, map[string]string{"tmp/x": "x"})
	for i := range 40 {
		plant(b, fmt.Sprintf("%s/r/b%d.yaml", root, i), bottle(fmt.Sprintf("b%d", i)))
	}
	w := startWatching(b, root+"/r")
	var latencies []time.Duration
	for i := 0; b.Loop(); i++ {
		plant(b, root+"/tmp/new", version("b7", fmt.Sprint(i)))
		began := time.Now()
		must(b, os.Rename(root+"/tmp/new", root+"/r/b7.yaml"))
		<-w.Changes()
		latencies = append(latencies, time.Since(began))
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(latencies[len(latencies)-1].Microseconds())/1000, "ms-max")
}
