package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

const (
	patience = 30 * time.Second                      // for the kernel, on the busiest machine
	enough   = quietAfterWrite + 70*time.Millisecond // until whatever happened is signalled
)

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
		{"edited by an approval", true, approve("r/a.yaml", version("a", "6"))},
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
	for _, c := range watchCases {
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
			w.expectAll(c.acts, at)
			w.expectWarnings()
		})
	}
}

// TestWatchSignalsWhatIsComplete: the writer pauses after each line, and only the whole file is signalled.
func TestWatchSignalsWhatIsComplete(t *testing.T) {
	root := grow(t, map[string]string{"a.yaml": version("a", "1")})
	w := startWatching(t, root)
	text := version("a", "2")
	for _, part := range append([]string{""}, strings.SplitAfter(text, "\n")...) {
		f, err := os.OpenFile(root+"/a.yaml", os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		if part == "" {
			must(t, f.Truncate(0))
		}
		_, err = f.WriteString(part)
		must(t, err, f.Close())
		if signals := w.pass(quietAfterWrite * 9 / 10); signals != 0 {
			t.Errorf("signalled after %q", part)
		}
	}
	w.expect("the whole file")
}

// TestWatchRuns has the goroutine at work, in real time.
func TestWatchRuns(t *testing.T) {
	t.Parallel()
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/work/x": "1", "token": "1"})
	w, err := Watch(WatchOptions{Paths: []string{root + "/r"}})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	signalled := func(what string) {
		t.Helper()
		select {
		case <-w.Changes():
		case <-time.After(patience):
			t.Fatalf("%s: no signal", what)
		}
	}
	plant(t, root+"/r/b.yaml", bottle("b"))
	signalled("dropped")
	place, err := safepath.NewPlace(root + "/r/work")
	must(t, err)
	w.Follow([]string{root + "/token"}, safepath.NewSet(place))
	signalled("followed")
	plant(t, root+"/token", "2")
	signalled("written")
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
	w, err := Watch(WatchOptions{Paths: []string{root + "/r"}})
	must(b, err)
	b.Cleanup(func() { must(b, w.Close()) })
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
