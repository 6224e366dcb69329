package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
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

// standing is a watcher whose goroutine doesn't run; the test makes its moves.
func standing(t *testing.T, k kernel, paths ...string) *Watcher {
	w := &Watcher{paths: paths, kernel: k, changes: make(chan struct{}, 1), warned: map[string]bool{}}
	t.Cleanup(func() { must(t, w.drop()) })
	w.lookAround()
	w.news = debounce{} // warnings are news
	return w
}
