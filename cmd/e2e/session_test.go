package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// talk is a bottled process that somebody talks to.
type talk struct {
	t      *testing.T
	cmd    *exec.Cmd
	to     io.WriteCloser
	out    *lockedBuffer
	errOut *lockedBuffer
	ended  chan struct{}
}

// onTerminal runs bottled on a terminal.
func onTerminal(t *testing.T, e *harness.Env, width, height int, args ...string) (*talk, *os.File) {
	t.Helper()
	return startOnTerminal(t, e.Command(args...), width, height, io.Discard)
}

// startOnTerminal runs a command on a terminal. What it prints is shown on a screen, too.
func startOnTerminal(t *testing.T, cmd *exec.Cmd, width, height int, screen io.Writer) (*talk, *os.File) {
	t.Helper()
	master, terminal := openPTY(t, width, height)
	c := &talk{t: t, cmd: cmd, to: master, out: &lockedBuffer{}, ended: make(chan struct{})}
	c.errOut = c.out
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c.start()
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.MultiWriter(c.out, screen), master) }() // until EIO
	return c, master
}

// onPipes runs bottled without a terminal.
func onPipes(t *testing.T, e *harness.Env, args ...string) *talk {
	t.Helper()
	c := &talk{t: t, cmd: e.Command(args...), out: &lockedBuffer{}, errOut: &lockedBuffer{}, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.errOut
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.to = stdin
	c.start()
	return c
}

func (c *talk) start() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // its ProcessState tells how it ended
		close(c.ended)
	}()
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
		if c.t.Failed() {
			c.t.Logf("%v printed:\n%s\n%s", c.cmd.Args[1:], c.out, c.errOut)
		}
	})
}

func (c *talk) types(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.to, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *talk) says(text string) {
	c.t.Helper()
	for end := time.Now().Add(wellWithin); !strings.Contains(c.out.String(), text); harness.Elapse(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("it does not say %q", text)
		}
	}
}

func (c *talk) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *talk) ends(code int) {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(wellWithin):
		c.t.Fatal("it does not end")
	}
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d", got, code)
	}
}

// sessions are the IDs of the sessions' containers.
func sessions(e *harness.Env) string {
	return owned(e, "--filter", "label="+state.LabelRole+"=run")
}

func noSessions(t *testing.T, e *harness.Env) {
	t.Helper()
	e.Eventually(wellWithin, "no session is left", func() (bool, string) {
		left := sessions(e)
		return left == "", left
	})
}

// TestRunOnTerminal talks to a session beside the agent, under a running controller.
func TestRunOnTerminal(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	c, master := onTerminal(t, e, 100, 30, "run", "one", "--", "console")
	c.says("terminal: 100 x 30")
	raw, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
	if err != nil || raw.Lflag&unix.ICANON != 0 {
		t.Errorf("the terminal is not raw: %+v, %v", raw, err)
	}
	id := sessions(e)
	checkSession(t, e, id)
	c.types("hello\r")
	c.says("typed: hello")
	resizePTY(t, master, 70, 20)
	c.says("terminal: 70 x 20")
	c.types("\x10\x11\x03") // what detaches from docker, and Ctrl-C
	c.says("signal: interrupt")

	// The controller leaves it alone, but for a way out.
	e.Expect(exitDone, "sync")
	asDeclared(t, e)
	if r := e.Expect(exitDone, "status", "one"); !strings.Contains(r.Stdout, "run ") {
		t.Errorf("status does not show the session:\n%s", r.Stdout)
	}
	e.Docker("network", "connect", "bridge", id)
	e.Docker("network", "connect", e.Network("egress", "one"), id)
	e.Eventually(wellWithin, "the session is cut off", func() (bool, string) {
		now := networksOf(e, id)
		return now == e.Network("net", "one"), now
	})
	e.Write("one.yaml", strings.Replace(whole("one"), "hello", "goodbye", 1))
	settledReady(t, e, "one")
	if now := sessions(e); now != id {
		t.Errorf("session %s, now %s", id, now)
	}
	c.types("exit 7\r")
	c.ends(7)
	noSessions(t, e)
	if after, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS); err != nil || after.Lflag&unix.ICANON == 0 {
		t.Errorf("the terminal is left raw: %+v, %v", after, err)
	}
	if left, err := os.ReadDir(filepath.Join(e.StateDir, "sessions")); err != nil || len(left) > 0 {
		t.Errorf("left in the state directory: %v, %v", left, err)
	}
	settledReady(t, e, "one")
}

// TestFirstTerminalSize starts programs in new terminals, which must never see the size 0 × 0.
func TestFirstTerminalSize(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Reconcile(exitDone)
	for n := range 6 {
		for _, command := range [][]string{{"exec", "one", "--", "/bottled-demo", "console"}, {"run", "one", "--", "console"}} {
			c, _ := onTerminal(t, e, 100, 30, command...)
			c.says("terminal: ")
			c.types("exit 0\r")
			c.ends(0)
			if first, _, _ := strings.Cut(c.out.String(), "\r\n"); first != "terminal: 100 x 30" {
				t.Fatalf("%s, time %d: the program began with %q", command[0], n+1, first)
			}
		}
	}
	noSessions(t, e)
}

func networksOf(e *harness.Env, id string) string {
	return strings.TrimSpace(e.Docker("inspect", "-f", "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", id))
}

// checkSession holds a session's container against the agent's.
func checkSession(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	if strings.Contains(id, "\n") || id == "" {
		t.Fatalf("sessions: %q, want one", id)
	}
	for _, field := range []string{
		".Config.Image", ".Config.Env", ".Config.User", ".HostConfig.Memory", ".HostConfig.NanoCpus", ".HostConfig.PidsLimit", ".HostConfig.CapDrop",
		".HostConfig.CapAdd", ".HostConfig.SecurityOpt", ".HostConfig.Dns", ".HostConfig.Mounts", ".HostConfig.Privileged", ".HostConfig.Binds",
	} {
		format := "{{json " + field + "}}"
		want, got := e.Docker("inspect", "-f", format, e.Name(state.Agent, "one")), e.Docker("inspect", "-f", format, id)
		if got != want {
			t.Errorf("%s is %s, the agent's %s", field, got, want)
		}
	}
	const own = `{{.HostConfig.AutoRemove}} {{.HostConfig.LogConfig.Type}} {{.HostConfig.RestartPolicy.Name}}`
	if got := e.Docker("inspect", "-f", own, id); got != "true none no" {
		t.Errorf("removed by itself, log, restart: %s", got)
	}
	if got := networksOf(e, id); got != e.Network("net", "one") {
		t.Errorf("networks: %s", got)
	}
	aliases := e.Docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{json .Aliases}}{{end}}", id)
	if strings.Contains(aliases, "agent") || strings.Count(aliases, `"`) > 2 {
		t.Errorf("aliases: %s", aliases)
	}
	if out, code := e.Exec(id, "dial", "pipelock:8888", "cred-proxy:9099", "supervise:9100"); code != 0 {
		t.Errorf("it does not reach its sidecars:\n%s", out)
	}
	if out, code := e.Exec(id, "resolve", "example.com"); code == 0 {
		t.Errorf("it resolves outside names:\n%s", out)
	}
}

// TestRunOnPipes needs no controller.
func TestRunOnPipes(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	e.Reconcile(exitDone)

	c := onPipes(t, e, "run", "one", "--", "console")
	c.says("no terminal")
	c.types("hello\nstderr oh\n")
	c.says("typed: hello")
	if err := c.to.Close(); err != nil {
		t.Fatal(err)
	}
	c.says("end of input")
	c.ends(0)
	if c.errOut.String() != "oh\n" || strings.Contains(c.out.String(), "oh") {
		t.Errorf("stderr is %q", c.errOut)
	}

	for s, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		c = onPipes(t, e, "run", "one", "--", "console")
		c.says("no terminal")
		c.signal(syscall.SIGINT)
		c.says("signal: interrupt")
		c.signal(s)
		c.ends(code)
	}
	// One that is deaf is given up.
	c = onPipes(t, e, "run", "one", "--", "console")
	c.says("no terminal")
	sendSignal(t, e.Docker("inspect", "-f", "{{.State.Pid}}", sessions(e)), syscall.SIGSTOP)
	for range 3 {
		c.signal(syscall.SIGINT)
		harness.Elapse(200 * time.Millisecond) // signals that come at once are one
	}
	c.ends(exitBySignal + int(syscall.SIGINT))
	noSessions(t, e)

	// Killed, it ends the program's input, and the engine removes what has ended.
	c = onPipes(t, e, "run", "one", "--", "console")
	c.says("no terminal")
	c.signal(syscall.SIGKILL)
	noSessions(t, e)

	// Whoever reads its output has enough.
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := e.Command("run", "one", "--", "env")
	cmd.Stdout = writer
	if err := errors.Join(cmd.Start(), writer.Close(), reader.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitNoCommand {
		t.Errorf("without a reader: %v", err)
	}
	noSessions(t, e)
	if left, err := os.ReadDir(filepath.Join(e.StateDir, "sessions")); err != nil || len(left) > 0 {
		t.Errorf("left in the state directory, also of the session that was killed: %v, %v", left, err)
	}
}

// TestRunRefuses sees real containers that are not as a session or a command needs them.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("bare.yaml", "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: bare}\nspec: {}\n")
	e.Write("one.yaml", small("one"))
	e.Write("broken.yaml", small("broken"))
	e.Reconcile(exitDone)
	e.Docker("stop", "-t", "1", e.Name(state.Pipelock, "broken"), e.Name(state.Agent, "one"))
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"run bare":                      {exitNoCommand, "declare one in " + e.Manifests + "/bare.yaml"},
		"run broken --timeout 2s":       {exitNoCommand, "not ready after 2s: pipelock: it ended"},
		"run one -- no-such-command":    {1, "unknown command"}, // of the image's entrypoint
		"exec one -- /bottled-demo env": {exitNoCommand, "it does not run, it is exited"},
		"exec one/supervise -- true":    {exitNoCommand, "it does not run, it is missing"},
	} {
		if r := e.Bottled(strings.Fields(args)...); r.Code != want.code || !strings.Contains(r.Stderr, want.says) {
			t.Errorf("%s: exit code %d, want %d; it says %q, want %q", args, r.Code, want.code, r.Stderr, want.says)
		}
	}
	// An entrypoint that is not there.
	e.Write("one.yaml", strings.Replace(small("one"), harness.AgentImage, e.Image("broken", "ENTRYPOINT [\"/missing\"]\n", nil), 1))
	e.Reconcile(exitFailed)
	if r := e.Bottled("run", "one"); r.Code != exitNotFound || !strings.Contains(r.Stderr, "the image has no file /missing") {
		t.Errorf("run: exit code %d: %s", r.Code, r.Stderr)
	}
	noSessions(t, e)
}

// TestSessionOfAKilledProcess: with a terminal nothing tells the program that nobody is there any more. The controller sees it.
func TestSessionOfAKilledProcess(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	controller := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	killed, _ := onTerminal(t, e, 80, 24, "run", "one", "--", "console")
	killed.says("terminal: 80 x 24")
	other, _ := onTerminal(t, e, 81, 24, "run", "one", "--", "console")
	other.says("terminal: 81 x 24")
	if n := len(strings.Fields(sessions(e))); n != 2 {
		t.Fatalf("%d sessions, want 2", n)
	}
	killed.signal(syscall.SIGKILL)
	<-killed.ended
	controller.Signal(hangup)
	e.Eventually(wellWithin, "the orphan goes, the other session stays", func() (bool, string) {
		left := sessions(e)
		return len(strings.Fields(left)) == 1, left
	})
	other.types("still here\r")
	other.says("typed: still here")
	other.signal(syscall.SIGTERM)
	other.ends(143)
	noSessions(t, e)
	settledReady(t, e, "one")
}

// TestSessionEndsWithItsBottle suspends one, and takes the other's manifest away.
func TestSessionEndsWithItsBottle(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	e.Write("two.yaml", small("two"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one", "two")
	one, _ := onTerminal(t, e, 80, 24, "run", "one", "--", "console")
	two, _ := onTerminal(t, e, 80, 24, "run", "two", "--", "console")
	one.says("terminal: 80 x 24")
	two.says("terminal: 80 x 24")
	e.Write("one.yaml", small("one")+"  suspend: true\n")
	one.says("signal: terminated")
	one.ends(143)
	if err := os.Remove(filepath.Join(e.Manifests, "two.yaml")); err != nil {
		t.Fatal(err)
	}
	two.says("signal: terminated")
	two.ends(143)
	e.Eventually(wellWithin, "one is suspended, two is gone", func() (bool, string) {
		b, _ := e.Bottle("one")
		_, known := e.Bottle("two")
		return b.Reason == reconciler.ReasonSuspend && !known, fmt.Sprintf("%+v", b)
	})
	noSessions(t, e)
}
