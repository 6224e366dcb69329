package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// Command runs a program for each message, without a shell, in the root directory, with the message as JSON on stdin. Of bottled's
// environment, which may hold tokens, it gets only what programs need to run and to reach a desktop.
func Command(words []string) Channel {
	return Channel{Name: "command", Send: func(ctx context.Context, m Message) error {
		text, err := encode(m)
		if err != nil {
			return err
		}
		return run(ctx, words, append(text, '\n'))
	}}
}

// Desktop shows messages by a program like notify-send.
func Desktop(program string) Channel {
	return Channel{Name: "desktop", Send: func(ctx context.Context, m Message) error {
		return run(ctx, append([]string{program}, desktopArgs(m)...), nil)
	}}
}

// desktopArgs are the arguments of notify-send. Every user of this host can see them, so the agent's reason is not among them; and the text
// may have markup, which an agent must not.
func desktopArgs(m Message) []string {
	const most = 200
	title := "bottled: bottle " + m.Bottle + " asks"
	if m.Event == reconciler.EventProposalFailed {
		title = "bottled: an approval for bottle " + m.Bottle + " failed"
	}
	summary := []rune(printable.Line(m.Summary))
	if len(summary) > most {
		summary = append(summary[:most], '…')
	}
	return []string{"--app-name=bottled", "--", printable.Line(title), "To decide: bottled proposals\n" + html.EscapeString(string(summary))}
}

var passedOn = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
}

// run runs a program, and kills it with its process group when ctx ends. What it prints goes nowhere: it may repeat a secret.
func run(ctx context.Context, words []string, stdin []byte) error {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the operator's own program
	var printed counter
	cmd.Dir, cmd.Stdin, cmd.Stderr, cmd.WaitDelay, cmd.Env = "/", bytes.NewReader(stdin), &printed, time.Second, []string{}
	for _, name := range passedOn {
		if value, set := os.LookupEnv(name); set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end within %s, and was killed", words[0], sendTimeout)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // a daemon that it left holds its output
		return nil
	case errors.As(err, &ended):
		return fmt.Errorf("%s failed: %w, and %d bytes on stderr; run it by hand to see why", words[0], err, int(printed))
	}
	return err
}

// counter counts bytes.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
