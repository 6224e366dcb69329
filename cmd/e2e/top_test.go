package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state/queue"
)

// topScreen is bottled top on a terminal, which answers what it is asked.
type topScreen struct {
	*talk
	master   *os.File
	emulator *vt.SafeEmulator
}

func startTop(t *testing.T, e *harness.Env, width, height int) *topScreen {
	t.Helper()
	emulator := vt.NewSafeEmulator(width, height)
	cmd := e.Command("top")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR=")
	c, master := startOnTerminal(t, cmd, width, height, emulator)
	t.Cleanup(func() { _ = emulator.Close() })
	go func() { _, _ = io.Copy(master, emulator) }() // until one of them is closed
	return &topScreen{c, master, emulator}
}

// text is what is on the terminal.
func (s *topScreen) text() string { return ansi.Strip(s.emulator.Render()) }

// shows waits until a text is on the terminal, and what is not to be there is not.
func (s *topScreen) shows(want string, without ...string) {
	s.t.Helper()
	for end := time.Now().Add(wellWithin); ; harness.Elapse(20 * time.Millisecond) {
		text := s.text()
		if strings.Contains(text, want) && (len(without) == 0 || !strings.Contains(text, without[0])) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the screen does not show %q without %q:\n%s", want, without, text)
		}
	}
}

// TestTop works on the real screen by keys alone: an approval, a host that is allowed, a secret, sessions, a cut, and a controller that is
// killed meanwhile.
func TestTop(t *testing.T) {
	t.Parallel()
	a, c := newAsking(t, "")
	a.Write("one.yaml", strings.Replace(a.content(), "command: [agent]", "command: [console]\n    stdin: true\n    tty: true", 1))
	a.Expect(exitDone, "sync")
	settledReady(t, a.Env, "one")
	a.ids = owned(a.Env)
	s := startTop(t, a.Env, 100, 30)
	s.shows("● one")
	s.shows("● 1 well")
	s.approves(a)
	c = s.outlives(a, c)
	s.opensSessions(a)
	s.allows(a)
	s.givesSecret(a)
	s.cuts(a)
	s.types("q")
	s.ends(exitDone)
	if after, err := unix.IoctlGetTermios(int(s.master.Fd()), unix.TCGETS); err != nil || after.Lflag&unix.ICANON == 0 {
		t.Errorf("the terminal is left raw: %+v, %v", after, err)
	}
	a.Eventually(wellWithin, "the terminal is as before", func() (bool, string) { // what was written last is read after the end
		return !s.emulator.IsAltScreen() && !s.emulator.CursorHidden(), fmt.Sprintf("screen %t, hidden %t", s.emulator.IsAltScreen(), s.emulator.CursorHidden())
	})
	if out := c.Stop(); strings.Contains(out.Stderr, "panic") {
		t.Error(out.Stderr)
	}
}

// approves decides about what the agent asks for while the screen is shown.
func (s *topScreen) approves(a *asking) {
	s.t.Helper()
	const host = "ask.demo.example"
	before := a.content()
	a.refused(host)
	asked := a.askHost(host)
	s.shows("INBOX  1 waits for a decision")
	s.types("g\r")
	s.shows("+    allowlist: [docs.demo.example, " + host + ":80]")
	s.shows("| the build needs it")
	s.shows("reload pipelock")
	s.types("afor this task")
	s.shows("note for the agent: for this task")
	s.types("\r")
	if notes := a.answered(asked, queue.Approved); !strings.Contains(notes, "for this task") {
		s.t.Errorf("the agent is told %q", notes)
	}
	s.shows(": approved, bottle one: allow "+host, "INBOX")
	a.reached(host)
	a.changed(before, "allowlist: [docs.demo.example]", "allowlist: [docs.demo.example, "+host+":80]")
	a.sameContainers()
}

// outlives kills the controller and starts another one. In between, the screen shows what the engine says.
func (s *topScreen) outlives(a *asking, c *harness.Controller) *harness.Controller {
	s.t.Helper()
	c.Signal(syscall.SIGKILL)
	if _, ended := c.Wait(10 * time.Second); !ended {
		s.t.Fatal("the controller was not killed")
	}
	s.shows("no controller runs: this is the engine's status, read-only")
	s.types("S")
	s.shows("no controller runs that takes orders")
	s.types("g") // which takes the message away
	c = a.Controller("--resync", "1h").Ready()
	s.shows("● one", "no controller runs")
	return c
}

// opensSessions has the agent's container, which has no shell, and one of its own take over the terminal.
func (s *topScreen) opensSessions(a *asking) {
	s.t.Helper()
	s.types("\r")
	s.shows("[1 overview]")
	s.shows("● pipelock")
	s.types("\r")
	s.shows("a shell beside the agent")
	s.types("\r")
	s.shows("Press enter to go back to bottled top.", "[1 overview]")
	s.types("\n")
	s.shows("exec has ended with exit code 127")
	s.types("sr")
	s.shows("terminal: 100 x 30", "[1 overview]")
	resizePTY(s.t, s.master, 120, 40)
	s.emulator.Resize(120, 40)
	s.shows("terminal: 120 x 40")
	s.types("hello\x03\r") // Ctrl-C is the program's
	s.shows("signal: interrupt")
	s.types("exit 7\r")
	s.shows("run has ended with exit code 7")
	s.shows("[1 overview]")
	noSessions(s.t, a.Env)
}

// allows a host that was denied, though nobody has asked.
func (s *topScreen) allows(a *asking) {
	s.t.Helper()
	const host = "more.demo.example"
	before := a.content()
	a.refused(host)
	s.types("4")
	s.shows(host)
	s.types("aseen in the log")
	s.shows("Allow " + host + ":80 for one")
	s.types("\r")
	s.shows(": approved, bottle one: allow " + host)
	a.reached(host)
	a.changed(before, "]\n    privateCIDRs", ", "+host+":80]\n    privateCIDRs")
}

// givesSecret types a secret, which the screen does not show.
func (s *topScreen) givesSecret(a *asking) {
	s.t.Helper()
	const secret = "the-secret-5e77d0"
	asked := a.ask("mark3labs", queue.SecretRequest, map[string]any{"name": "tracker", "upstream": "https://api.demo.example", "path": "/tracker/"})
	s.types("\x1b")
	s.shows("INBOX  1 waits for a decision")
	s.types("ga")
	s.shows("Secret for bottle one")
	s.types(secret + "\n")
	a.answered(asked, queue.Approved)
	s.shows("approve has ended")
	if out, code := a.Agent("one", "fetch", "http://cred-proxy:9099/tracker/issues"); code != 0 || !strings.Contains(out, "Bearer "+secret) {
		s.t.Errorf("the route (exit code %d):\n%s", code, out)
	}
	if strings.Contains(s.out.String(), secret) {
		s.t.Error("the terminal has the secret")
	}
}

// cuts the bottle off, and resumes it.
func (s *topScreen) cuts(a *asking) {
	s.t.Helper()
	gets := func(want bool) {
		s.t.Helper()
		if out, code := a.Agent("one", "fetch", "--timeout", "3s", "http://docs.demo.example/"); (code == 0) != want {
			s.t.Errorf("the agent's request ends with %d: %s", code, out)
		}
	}
	s.types("\x1b")
	s.shows("BOTTLE", "proposal  ")
	s.types("GX")
	s.shows("open connections break off")
	gets(true)
	s.types("y")
	s.shows("one is cut off")
	s.shows("cut off")
	gets(false)
	s.types("U")
	s.shows("one resumed", "Ready, cut off")
	gets(true)
}
