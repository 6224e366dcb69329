package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestLogs reads the sidecars' logs, which begin with the configuration they serve.
func TestLogs(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	const said = `"event":"config"`
	whole := e.Expect(exitDone, "logs", "-o", "json", "one/pipelock").Stdout
	if out, err := e.DockerCommand("logs", e.Name(state.Pipelock, "one")).CombinedOutput(); err != nil || string(out) != whole {
		t.Errorf("the engine has %q (%v), logs prints %q", out, err, whole)
	}
	all := e.Expect(exitDone, "logs", "-o", "json", "one")
	last := -1
	for _, part := range []string{"pipelock  ", "cred-proxy", "supervise "} {
		at := strings.Index(all.Stdout, part+" | {")
		if at <= last {
			t.Errorf("%s is at %d, after %d: the parts started in this order\n%s", part, at, last, all.Stdout)
		}
		last = at
	}
	if r := e.Expect(exitDone, "logs", "one/pipelock"); !strings.Contains(r.Stdout, "  INF ") {
		t.Errorf("in words: %s", r.Stdout)
	}
	if r := e.Expect(exitDone, "logs", "--tail", "0", "one"); r.Stdout != "" {
		t.Errorf("--tail 0: %s", r.Stdout)
	}
	if r := e.Expect(exitDone, "logs", "--tail", "1", "one/pipelock"); strings.Count(r.Stdout, "\n") != 1 {
		t.Errorf("--tail 1: %s", r.Stdout)
	}
	e.Eventually(wellWithin, "all lines are older than a second", func() (bool, string) {
		r := e.Expect(exitDone, "logs", "--since", "1s", "one")
		return r.Stdout == "", r.Stdout
	})

	// Followed, through a restart and a replacement of the container.
	f := onPipes(t, e, "logs", "-f", "-o", "json", "one")
	f.says(all.Stdout)
	count := func(n int) {
		t.Helper()
		e.Eventually(wellWithin, fmt.Sprintf("pipelock's configuration was told %d times", n), func() (bool, string) {
			got := strings.Count(f.out.String(), said+`,"cause":"start"`)
			return got >= n, f.out.String()
		})
	}
	before := strings.Count(all.Stdout, said+`,"cause":"start"`)
	e.Docker("kill", e.Name(state.Pipelock, "one"))
	count(before + 1)
	e.Docker("rm", "-f", e.Name(state.Pipelock, "one"))
	count(before + 2)
	settledReady(t, e, "one")
	f.signal(os.Interrupt)
	f.ends(exitDone)
	seen := map[string]bool{}
	for line := range strings.Lines(f.out.String()) {
		if seen[line] {
			t.Errorf("told twice: %s", line)
		}
		seen[line] = true
	}
	if got := strings.Count(f.out.String(), said+`,"cause":"start"`); got != before+2 {
		t.Errorf("the configuration was told %d times, want %d", got, before+2)
	}
}

// TestLogsOfAHostileAgent has an agent that prints what would steer a terminal, and ends.
func TestLogsOfAHostileAgent(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("bad.yaml", fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: bad}
spec:
  agent: {image: %q, command: [dial, "\e]0;owned\a\u202e"]}
`, harness.AgentImage))
	e.Bottled("reconcile", "--once", e.Manifests) // fails, unless the agent takes long enough to end
	const hostile = "\x1b]0;owned\a\u202e"
	e.Eventually(wellWithin, "the agent's words are in its log, as they are", func() (bool, string) {
		r := e.Expect(exitDone, "logs", "-o", "json", "bad/agent")
		return strings.Contains(r.Stdout, hostile), r.Stdout
	})
	if r := e.Expect(exitDone, "logs", "bad/agent"); strings.Contains(r.Stdout, hostile[:2]) || !strings.Contains(r.Stdout, `\x1b]0;owned\a\u202e`) {
		t.Errorf("to a pipe: %q", r.Stdout)
	}
	c, _ := onTerminal(t, e, 100, 30, "logs", "bad")
	c.ends(exitDone)
	c.says(`\x1b]0;owned\a\u202e`)
	if strings.Contains(c.out.String(), hostile[:2]) || !strings.Contains(c.out.String(), "\x1b[32magent     \x1b[0m") {
		t.Errorf("to a terminal: %q", c.out)
	}
}
