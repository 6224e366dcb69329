package screen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// done is the message that something was carried out, or why not.
type done struct {
	text string
	err  error
}

func (m *Model) takeDone(d done) tea.Cmd {
	m.notice = notice{text: d.text}
	if d.err != nil {
		m.notice = notice{report.OneLine(d.err), true}
	}
	if m.bottle != nil {
		return m.bottle.describe(m)
	}
	return nil
}

// switches are the orders by their keys, with what is lost; "" where nothing is.
var switches = map[string]struct {
	order reconciler.Order
	title string
	loses string
}{
	"S": {reconciler.OrderSuspend, "Suspend", "Its containers stop: whatever runs in them ends, and what it has in memory is lost. Files stay."},
	"U": {reconciler.OrderResume, "Resume", ""},
	"R": {reconciler.OrderRestart, "Restart", "Its containers stop and start: whatever runs in them ends, and what it has in memory is lost. Files stay."},
	"X": {reconciler.OrderCut, "Cut off", "Its sidecars leave the egress network at once: open connections break off, and nothing gets out until it is resumed."},
}

// pressSwitch takes a key that is about one bottle.
func (m *Model) pressSwitch(k, bottle string) tea.Cmd {
	if k == "s" {
		return m.askSession(bottle)
	}
	s, known := switches[k]
	switch {
	case !known:
		return nil
	case m.readOnly():
		m.notice = notice{"no controller runs that takes orders: start one with bottled reconcile DIR…", true}
		return nil
	}
	give := func() tea.Cmd {
		m.notice = notice{text: fmt.Sprintf("%s: %s …", bottle, s.order)}
		return func() tea.Msg {
			said, err := m.backend.Order(m.ctx, service.Target{Bottle: bottle}, s.order)
			return done{said, err}
		}
	}
	if s.loses == "" {
		return give()
	}
	m.choose([]line{text(strong, fmt.Sprintf("%s %s?", s.title, bottle)), text(warning, s.loses)}, []key{{"y", "yes"}}, map[string]func() tea.Cmd{"y": give})
	return nil
}

// shell is what a session in a container runs: the best shell that is there.
var shell = []string{"sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"}

// askSession asks which session is to be opened.
func (m *Model) askSession(bottle string) tea.Cmd {
	keys := []key{{"r", "its agent's command, in a container of its own"}}
	own := func() tea.Cmd { return m.run(firstOwn, "run", bottle) }
	choices := map[string]func() tea.Cmd{"r": own, "enter": own}
	if i := slices.IndexFunc(m.snapshot.Status.Bottles, func(b reconciler.BottleStatus) bool { return b.Slug == bottle }); i >= 0 {
		if a := m.snapshot.Status.Bottles[i].Agent(); a != nil && a.State == engine.StateRunning {
			keys = append([]key{{"enter", "a shell beside the agent"}, {"t", "the agent's own terminal"}}, keys...)
			choices["enter"] = func() tea.Cmd { return m.run(firstOwn, append([]string{"exec", bottle, "--"}, shell...)...) }
			choices["t"] = func() tea.Cmd { return m.run(firstOwn, "attach", bottle) }
		}
	}
	m.choose([]line{text(strong, fmt.Sprintf("A session in %s:", bottle))}, keys, choices)
	return nil
}

// firstOwn is the first exit code of run and exec that is not their command's: bottled has said why, and somebody has to read it.
const firstOwn = 125

// lastOwn is the last of them.
const lastOwn = 127

// run has a command of bottled take over the terminal. An exit code from failed on, up to lastOwn, is a failure of bottled's.
func (m *Model) run(failed int, arguments ...string) tea.Cmd {
	c := &takeover{Cmd: m.backend.Command(arguments...), failed: max(failed, 1)}
	return tea.Exec(c, func(err error) tea.Msg {
		var ended *exec.ExitError
		switch {
		case err == nil:
			return done{text: arguments[0] + " has ended"}
		case errors.As(err, &ended) && ended.ExitCode() >= 0:
			return done{text: fmt.Sprintf("%s has ended with exit code %d", arguments[0], ended.ExitCode())}
		}
		return done{err: fmt.Errorf("%s: %w", arguments[0], err)}
	})
}

// takeover runs a command on the terminal. Where it fails for a reason of bottled's own, that can be read before the screen comes back.
type takeover struct {
	*exec.Cmd
	failed int
}

func (t *takeover) SetStdin(r io.Reader)  { t.Stdin = r }
func (t *takeover) SetStdout(w io.Writer) { t.Stdout = w }
func (t *takeover) SetStderr(w io.Writer) { t.Stderr = w }

// Run runs the command.
func (t *takeover) Run() error {
	err := t.Cmd.Run()
	var ended *exec.ExitError
	if err == nil || errors.As(err, &ended) && (ended.ExitCode() < t.failed || ended.ExitCode() > lastOwn) {
		return err
	}
	if _, printErr := io.WriteString(t.Stderr, "Press enter to go back to bottled top.\n"); printErr != nil {
		return errors.Join(err, printErr)
	}
	_, _ = bufio.NewReaderSize(t.Stdin, 16).ReadString('\n') // an input that has ended is no reason to stay
	return err
}
