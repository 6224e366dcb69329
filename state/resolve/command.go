package resolve

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

var (
	errCommandTimeout = fmt.Errorf("it did not end within %s, and was killed", commandTimeout)
	errCommandOutput  = fmt.Errorf("it printed more than %d bytes, and was killed", maxToken)
)

// outputDelay is how long the output of a command that has ended may stay open: a daemon that it left may hold it.
const outputDelay = time.Second

// RunTokenCommand runs a command without a shell, in the root directory and the environment of bottled, and returns what it prints on
// stdout. Its stderr goes nowhere: it may repeat a secret. The command is killed with its process group when ctx ends or it prints
// too much. The error has no argument and nothing that the command printed.
func RunTokenCommand(ctx context.Context, command []string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	output := &boundedOutput{exceeded: func() { cancel(errCommandOutput) }}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // CheckCommand: the operator allows it
	cmd.Dir, cmd.Stdout, cmd.WaitDelay = "/", output, outputDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return output.text, nil
	case errors.As(err, &ended):
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return nil, fmt.Errorf("it was ended by signal %d (%s)", status.Signal(), status.Signal())
		}
		return nil, fmt.Errorf("it failed with exit code %d; run it by hand as bottled's user to see why", ended.ExitCode())
	}
	return nil, fmt.Errorf("it can't be started: %w", unwrapPathError(err))
}

// boundedOutput keeps what is written, up to maxToken bytes.
type boundedOutput struct {
	text     []byte
	exceeded func()
}

// Write implements io.Writer.
func (b *boundedOutput) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxToken {
		b.exceeded()
		return 0, errCommandOutput
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// CheckCommand returns why a command must not be run: the operator does not allow it, there is no such program, or an agent can write
// the program or a file among its arguments.
func (r Reader) CheckCommand(command []string) error {
	if err := r.Settings.CheckTokenExec(command); err != nil {
		return unavailable{err}
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return unavailable{fmt.Errorf("there is no program %s: install it, or correct its name or the PATH of bottled", command[0])}
	}
	for _, word := range append([]string{program}, command[1:]...) {
		_, value, _ := strings.Cut(word, "=") // of --option=FILE
		for _, name := range []string{word, value} {
			if err := r.checkWord(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkWord refuses a word that leads to something that an agent can write. Commands are run in the root directory.
func (r Reader) checkWord(word string) error {
	trace, _, err := safepath.Trace(path.Join("/", word))
	switch {
	case errors.Is(err, safepath.ErrMagicLink), errors.Is(err, safepath.ErrMoved):
		return fmt.Errorf("%s: %w", word, err)
	case err != nil:
		return nil // it is no path, or one that the command can't take either
	}
	if place, usable := r.Writable.Usable(trace); !usable {
		return &safepath.Error{Path: word, Place: place}
	}
	return nil
}

// delivered returns a token as cred-proxy was given it by an earlier process, which is as good as what that process knew.
func (r Reader) delivered(slug, slot string) (state.Content, bool) {
	if r.Settings.RunDir == "" {
		return state.Content{}, false
	}
	data, err := safepath.Set{}.ReadFile(path.Join(r.Settings.TokenDir(slug), slot), maxToken)
	return state.NewContent(data), err == nil && len(data) > 0
}
