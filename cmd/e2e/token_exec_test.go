package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// tokenScript is a program that prints a token, and tells too much on stderr. It counts its runs.
type tokenScript struct {
	*testing.T
	path string
}

func (s tokenScript) write(lines string) {
	s.Helper()
	text := "#!/bin/sh\necho run >>" + s.path + ".runs\necho leaked-on-stderr-7c1d >&2\n" + lines + "\n"
	if err := os.WriteFile(s.path+".new", []byte(text), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		s.Fatal(err)
	}
}

func (s tokenScript) runs() int {
	text, _ := os.ReadFile(s.path + ".runs") // nothing: it never ran
	return strings.Count(string(text), "run")
}

// TestTokenCommand has a script print a token that the agent's requests get and nothing else shows. Only the controller and single passes
// run it, only if the operator allows it, and it ends with the controller.
func TestTokenCommand(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	prepareCerts(t, e)
	script := tokenScript{t, filepath.Join(t.TempDir(), "token")}
	script.write("echo token-of-a-command-3b9e")
	manifest := strings.Replace(trafficManifest(e, "docs.demo.example"), "{file: ./certs/token}", "{exec: ["+script.path+", --no-such-secret-in-errors]}", 1)
	e.Write("one.yaml", manifest)
	e.Extra = append(e.Extra, "BOTTLED_ALLOW_TOKEN_EXEC="+script.path+" *")

	if r := e.Expect(exitDifferences, "plan", e.Manifests); !strings.Contains(r.Stdout, "(from exec)") {
		t.Errorf("the plan:\n%s", r.Stdout)
	}
	e.Expect(exitDone, "validate", e.Manifests)
	if r := e.Bottled("reconcile", "--once", e.Manifests, "--allow-token-exec", script.path); r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "allow-token-exec") {
		t.Errorf("a command that is not allowed: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if n := script.runs(); n != 0 {
		t.Errorf("the command ran %d times without being allowed", n)
	}

	e.Reconcile(exitDone)
	startUpstream(t, e)
	sent := func(token string) (bool, string) {
		out, _ := e.Agent("one", "fetch", "http://cred-proxy:9099/api/whoami")
		return strings.Contains(out, "Bearer "+token), out
	}
	if ok, out := sent("token-of-a-command-3b9e"); !ok || script.runs() != 1 {
		t.Errorf("after %d runs the upstream saw:\n%s", script.runs(), out)
	}
	e.Expect(exitDone, "plan", e.Manifests) // the delivered token counts

	// A controller that starts while the command fails goes on with the delivered token, and says so.
	script.write("exit 6")
	c := e.Controller("--resync", "1h").Ready()
	e.Eventually(wellWithin, "the bottle is ready, and the token known to be stale", func() (bool, string) {
		b, _ := e.Bottle("one")
		stale := b.Condition(reconciler.ConditionTokenStale)
		return b.Ready && stale != nil && strings.Contains(stale.Message, "it failed with exit code 6"), fmt.Sprintf("%+v", b)
	})
	if ok, out := sent("token-of-a-command-3b9e"); !ok {
		t.Errorf("while the command fails the upstream saw:\n%s", out)
	}
	script.write("echo token-of-a-command-91aa")
	e.Expect(exitDone, "sync")
	e.Eventually(wellWithin, "the next token is used", func() (bool, string) { return sent("token-of-a-command-91aa") })
	settledReady(t, e, "one")

	shown := c.LogText() + e.Bottled("describe", "one").Stdout + e.Bottled("status", "-o", "json").Stdout + e.Bottled("events", "one").Stdout +
		e.Docker("inspect", e.Name(state.Agent, "one"), e.Name(state.CredProxy, "one")) + readAll(t, e.StateDir)
	for _, secret := range []string{"token-of-a-command", "leaked-on-stderr"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if strings.Contains(c.LogText(), "no-such-secret-in-errors") {
		t.Error("the log has the command's arguments")
	}

	pid := script.path + ".pid"
	script.write("echo $$ >" + pid + "\nsleep 300")
	e.Write("one.yaml", strings.Replace(manifest, "--no-such-secret-in-errors", "another", 1))
	e.Eventually(wellWithin, "the command hangs", func() (bool, string) { _, err := os.Stat(pid); return err == nil, fmt.Sprint(err) })
	if r := c.Stop(); r.Code != 0 {
		t.Errorf("the controller ended with exit code %d", r.Code)
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	e.Eventually(wellWithin, "nothing of the command is left", func() (bool, string) {
		err := syscall.Kill(-group, 0)
		return err != nil, "its process group is there"
	})
}

// readAll returns everything in the files of a directory.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
