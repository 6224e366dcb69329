package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
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

// watching is a watcher under test. Its goroutine does not run: the test makes its moves, in virtual time, and takes all events
// that there are before time passes. So nothing here depends on how fast the machine is.
type watching struct {
	*Watcher
	t        testing.TB
	clock    time.Time
	fence    string // a directory of the harness
	fences   int
	warnings []string
}

func startWatching(t testing.TB, paths ...string) *watching {
	t.Helper()
	return startWatchingWith(t, theKernel, WatchOptions{Paths: paths})
}

func startWatchingWith(t testing.TB, k kernel, o WatchOptions) *watching {
	t.Helper()
	w := &watching{t: t, clock: time.Now(), fence: grow(t, nil)}
	k.now = func() time.Time { return w.clock }
	o.Warn = func(err error) { w.warnings = append(w.warnings, err.Error()) }
	var err error
	w.Watcher, err = newWatcher(o, k)
	must(t, err)
	t.Cleanup(func() { must(t, w.drop()) })
	w.lookAround()
	return w
}

// pass lets time pass, and returns how many changes were signalled meanwhile.
func (w *watching) pass(d time.Duration) int {
	w.t.Helper()
	signals := 0
	for end := w.clock.Add(d); ; {
		w.drain()
		next := w.next()
		if next.After(end) {
			w.clock = end
			return signals
		}
		if next.After(w.clock) {
			w.clock = next
		}
		w.act(w.clock)
		select {
		case <-w.Changes():
			signals++
		default:
		}
	}
}

// drain handles all events so far. Those of one inotify instance come in order, so the last one is that of a file that it makes.
func (w *watching) drain() {
	w.t.Helper()
	select {
	case <-w.followed:
		w.note(structure, quiet)
	default:
	}
	select {
	case <-w.narrowed:
		w.look = w.clock
	default:
	}
	for last := w.raiseFence(); last != ""; {
		select {
		case e := <-w.notify.Events:
			if e.Name == last {
				return
			}
			w.event(e)
		case err := <-w.notify.Errors:
			w.failed(err)
			last = w.raiseFence() // the event of the one before may be lost
		case <-time.After(patience):
			w.t.Fatal("the kernel did not notify")
		}
	}
}

// raiseFence makes a file in a directory that is watched for it, and returns its path; "" when there are no notifications.
func (w *watching) raiseFence() string {
	w.t.Helper()
	if w.notify == nil {
		return ""
	}
	must(w.t, w.notify.Add(w.fence))
	w.fences++
	path := filepath.Join(w.fence, strconv.Itoa(w.fences))
	must(w.t, os.Mkdir(path, 0o700))
	return path
}

func (w *watching) expectWarnings(parts ...string) {
	w.t.Helper()
	if len(w.warnings) != len(parts) {
		w.t.Errorf("warnings %q, want %q", w.warnings, parts)
		return
	}
	for i, part := range parts {
		if !strings.Contains(w.warnings[i], part) {
			w.t.Errorf("warning %q, want %q", w.warnings[i], part)
		}
	}
}

// expect expects one signal for what happened.
func (w *watching) expect(what string) {
	w.t.Helper()
	if signals := w.pass(enough); signals != 1 {
		w.t.Fatalf("%s: %d changes were signalled", what, signals)
	}
}

func (w *watching) expectNothing(what string) {
	w.t.Helper()
	if signals := w.pass(enough); signals != 0 {
		w.t.Errorf("%s: %d changes were signalled", what, signals)
	}
}

// expectAll makes what happens happen, and expects it to be signalled or not.
func (w *watching) expectAll(acts []act, at func(string) string) {
	w.t.Helper()
	for _, a := range acts {
		a.do(w.t, at)
		if a.tell {
			w.expect(a.what)
		} else {
			w.expectNothing(a.what)
		}
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

// act is something that happens in the directory of a test, and whether it must be signalled.
type act struct {
	what string
	tell bool
	do   func(t testing.TB, at func(string) string)
}

func write(path, text string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) { plant(t, at(path), text) }
}

func move(from, to string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) { must(t, os.Rename(at(from), at(to))) }
}

func unlink(path string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) { must(t, os.RemoveAll(at(path))) }
}

// swap replaces a symlink as git-sync and kubelet do.
func swap(link, target string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) {
		must(t, os.Symlink(target, at(link+".tmp")), os.Rename(at(link+".tmp"), at(link)))
	}
}

func chmod(path string, mode os.FileMode) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) { must(t, os.Chmod(at(path), mode)) }
}

func inTurn(all ...func(testing.TB, func(string) string)) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) {
		for _, do := range all {
			do(t, at)
		}
	}
}

// vim saves as vim does with its defaults: a probe, the old file to a backup, a new one.
func vim(path, text string) func(testing.TB, func(string) string) {
	dir := filepath.Dir(path)
	return inTurn(write(dir+"/4913", ""), chmod(dir+"/4913", 0o644), unlink(dir+"/4913"),
		move(path, path+"~"), write(path, text), chmod(path, 0o644), unlink(path+"~"))
}

// vscode saves as VS Code does: it empties the file and writes it.
func vscode(path, text string) func(testing.TB, func(string) string) {
	lines := strings.SplitAfter(text, "\n")
	steps := []func(testing.TB, func(string) string){write(path, "")}
	for i := range lines {
		steps = append(steps, write(path, strings.Join(lines[:i+1], "")))
	}
	return inTurn(steps...)
}

// approve has package edit replace the file.
func approve(path, text string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) {
		t.Helper()
		before, err := edit.Read(at(path), safepath.Set{})
		must(t, err, edit.Write(at(path), before, []byte(text), safepath.Set{}))
	}
}

func sed(path, script string) func(testing.TB, func(string) string) {
	return func(t testing.TB, at func(string) string) { sh(t, at("."), "sed", "-i", script, at(path)) }
}
