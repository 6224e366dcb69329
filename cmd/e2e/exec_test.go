package e2e

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

func TestExec(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", strings.Replace(small("one"), "[agent]", "[agent], env: {GREETING: hello}", 1))
	e.Reconcile(exitDone)
	if r := e.Expect(exitDone, "exec", "one", "--", "/bottled-demo", "env"); !strings.Contains(r.Stdout, "GREETING=hello\n") {
		t.Errorf("env:\n%s", r.Stdout)
	}
	e.Expect(1, "exec", "one/agent", "--", "/bottled-demo", "dial", "127.0.0.1:1")
	e.Expect(exitDone, "exec", "one/pipelock", "--", "/bottled", "sidecar", "pipelock", "healthcheck")
	for _, part := range []string{"pipelock", "agent"} {
		r := e.Bottled("exec", "one/"+part, "--", "sh")
		if hint := strings.Contains(r.Stderr, "no other program than /bottled"); r.Code != exitCantInvoke && r.Code != exitNotFound || hint != (part == "pipelock") {
			t.Errorf("a shell in %s: exit code %d\n%s%s", part, r.Code, r.Stdout, r.Stderr)
		}
	}

	c := onPipes(t, e, "exec", "one", "--", "/bottled-demo", "console")
	c.says("end of input") // without -i
	c.ends(0)
	c = onPipes(t, e, "exec", "-i", "one", "--", "/bottled-demo", "console")
	c.types("hello\nstderr oh\nexit 9\n")
	c.ends(9)
	if !strings.Contains(c.out.String(), "typed: hello") || c.errOut.String() != "oh\n" {
		t.Errorf("stdout %q, stderr %q", c.out, c.errOut)
	}
	payload := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	cmd := e.Command("exec", "-i", "one", "--", "/bottled-demo", "console")
	cmd.Stdin = bytes.NewReader(payload)
	out, err := cmd.Output()
	if err != nil || bytes.Count(out, []byte("typed: 0123456789abcde\n")) != 1<<16 {
		t.Errorf("1 MiB through it: %d bytes came back, %v", len(out), err)
	}

	execOnTerminal(t, e)
	if os.Geteuid() != 0 {
		t.Log("signals are passed on by root only: not tested")
		return
	}
	c = onPipes(t, e, "exec", "-i", "one", "--", "/bottled-demo", "console")
	c.says("no terminal")
	c.signal(syscall.SIGINT)
	c.says("signal: interrupt")
	c.signal(syscall.SIGTERM)
	c.ends(143)
	if top := e.Docker("top", e.Name(state.Agent, "one")); strings.Contains(top, "console") {
		t.Errorf("the command goes on:\n%s", top)
	}
}

// execOnTerminal has a terminal, and then asks for one without having it.
func execOnTerminal(t *testing.T, e *harness.Env) {
	t.Helper()
	terminal, master := onTerminal(t, e, 90, 25, "exec", "one", "--", "/bottled-demo", "console")
	terminal.says("terminal: 90 x 25")
	resizePTY(t, master, 91, 26)
	terminal.says("terminal: 91 x 26")
	terminal.types("\x03")
	terminal.says("signal: interrupt")
	terminal.types("\x04")
	terminal.ends(0)
	forced := onPipes(t, e, "exec", "-it", "one", "--", "/bottled-demo", "console")
	forced.says("terminal: 0 x 0")
	if err := forced.to.Close(); err != nil {
		t.Fatal(err)
	}
	forced.says("end of input")
	forced.ends(0)
}
