package resolve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

// TestRunTokenCommand runs real programs. What they print to stderr, and their arguments, are in no error.
func TestRunTokenCommand(t *testing.T) {
	t.Setenv("FROM_BOTTLED", "inherited")
	for script, want := range map[string]struct{ output, err string }{
		"echo token":                    {output: "token\n"},
		"echo $FROM_BOTTLED; pwd":       {output: "inherited\n/\n"},
		"cat":                           {}, // stdin is empty
		"echo abcdefgh >&2; echo token": {output: "token\n"},
		"echo abcdefgh >&2; exit 3":     {err: "it failed with exit code 3"},
		"echo abcdefgh; kill -SEGV $$":  {err: "it was ended by signal 11"},
		"yes abcdefgh":                  {err: "it printed more than 65536 bytes"},
		"sleep 60 & echo token":         {output: "token\n"}, // a daemon that keeps the output open
	} {
		output, err := RunTokenCommand(t.Context(), []string{"/bin/sh", "-c", script})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if string(output) != want.output || !strings.HasPrefix(text, want.err) || (err == nil) != (want.err == "") || strings.Contains(text, "abcdefgh") {
			t.Errorf("%s: %q, %v; want %q, %s", script, output, err, want.output, want.err)
		}
	}
	at := tree(t, map[string]string{"data": "x"})
	for path, want := range map[string]string{at("none"): "it can't be started: no such file", at("data"): "it can't be started: permission denied"} {
		if _, err := RunTokenCommand(t.Context(), []string{path, "abcdefgh"}); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// TestCommandIsKilledWithItsGroup ends a command, and what it started, with its context.
func TestCommandIsKilledWithItsGroup(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	errEnd := errors.New("the test ends it")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := RunTokenCommand(ctx, []string{"/bin/sh", "-c", "trap '' TERM INT HUP; sleep 300 & echo $$ $! >" + pids + ".new; mv " + pids + ".new " + pids + "; wait"})
		ended <- err
	}()
	text := waitFor(t, func() (string, bool) {
		text, err := os.ReadFile(pids)
		return string(text), err == nil
	})
	cancel(errEnd)
	if err := <-ended; !errors.Is(err, errEnd) {
		t.Errorf("%v, want %v", err, errEnd)
	}
	for _, word := range strings.Fields(text) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() (string, bool) { return word + " is still there", isGone(pid) })
	}
}

// isGone reports whether a process has ended; one that nobody has reaped yet counts.
func isGone(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ")
}

// waitFor waits until something is so, and fails the test with the text if that takes too long.
func waitFor(t *testing.T, is func() (string, bool)) string {
	t.Helper()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		text, so := is()
		if so {
			return text
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited too long: ", text)
		}
	}
}

// TestCheckCommand refuses what the operator does not allow, and whatever an agent can write, before it is run.
func TestCheckCommand(t *testing.T) {
	at := tree(t, map[string]string{"bin/op": "", "work/op": "", "work/token": "", "work/script": ""})
	for _, name := range []string{"bin/op", "work/op"} {
		if err := os.Chmod(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(at("work/op"), at("bin/linked")), os.Symlink(at("bin/op"), at("work/out")), os.Symlink(at("work/script"), at("bin/data"))); err != nil {
		t.Fatal(err)
	}
	place, err := safepath.NewPlace(at("work"))
	if err != nil {
		t.Fatal(err)
	}
	place.Bottle = "evil"
	var allowed []state.CommandPattern
	for _, text := range []string{"op read *", at("bin/op") + " *", at("bin/op"), at("bin/linked"), at("work/out"), at("bin/none"), "none", "loose"} {
		p, err := state.ParseCommandPattern(text)
		if err != nil {
			t.Fatal(err)
		}
		allowed = append(allowed, p)
	}
	reader := Reader{Settings: state.Settings{TokenExec: allowed}, Writable: safepath.NewSet(place)}
	t.Setenv("PATH", at("bin"))
	const agents, notAllowed, missing = "the agent of bottle evil can write it", "does not allow this command", "there is no program"
	for _, c := range []struct {
		want    string
		command []string
	}{
		{"", []string{"op", "read", "op://a/b"}},
		{"", []string{at("bin/op"), "--config=/nonexistent", "-", "x=y"}},
		{notAllowed, []string{"op", "run", "op://a/b"}},
		{notAllowed, []string{"op"}},
		{notAllowed, []string{"sh", "-c", "id"}},
		{notAllowed, []string{at("bin/linked"), "x"}},
		{missing, []string{at("bin/none")}},
		{missing, []string{"none"}},
		{agents, []string{at("bin/linked")}},
		{agents, []string{at("work/out")}},
		{agents, []string{at("bin/op"), at("work/token")}},
		{agents, []string{at("bin/op"), "--file=" + at("work/token")}},
		{agents, []string{at("bin/op"), strings.TrimPrefix(at("work/token"), "/")}},
		{agents, []string{at("bin/op"), at("work/not-yet-there")}},
		{agents, []string{at("bin/op"), at("bin/data")}},
		{"leads through a link of /proc", []string{at("bin/op"), "/proc/self/root" + at("work/token")}},
	} {
		err := reader.CheckCommand(c.command)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.command, err, c.want)
		}
		if isUnavailable := errors.Is(err, ErrUnavailable); isUnavailable != (c.want == notAllowed || c.want == missing) {
			t.Errorf("%q: unavailable is %v", c.command, isUnavailable)
		}
	}
	t.Setenv("PATH", at("work"))
	if err := reader.CheckCommand([]string{"op", "read", "x"}); err == nil || !strings.Contains(err.Error(), agents) {
		t.Errorf("a program in a directory of an agent that is in the PATH: %v", err)
	}
}
