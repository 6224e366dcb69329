package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// commandLimit bounds every command but those of the set-up.
const commandLimit = 3 * time.Minute

// shell runs commands in front of the reader, who can repeat them. What it prints never holds the secret. After the first error it
// runs nothing more.
type shell struct {
	ctx    context.Context // of this one run
	out    io.Writer
	secret string // "" before there is one
	err    error
}

// result is what a command printed, stdout before stderr, and its exit code.
type result struct {
	output string
	code   int
}

// say prints a line of text.
func (s *shell) say(format string, args ...any) {
	if s.err == nil {
		fmt.Fprintln(s.out, s.mask(fmt.Sprintf(format, args...)))
	}
}

// fail keeps the first error.
func (s *shell) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// show prints a command and what it prints, whether it succeeds or not.
func (s *shell) show(args ...string) result {
	s.say("$ %s", quote(args))
	r := s.quiet(args...)
	for line := range strings.Lines(r.output) {
		s.say("  %s", strings.TrimRight(line, "\r\n"))
	}
	return r
}

// do shows a command that must succeed.
func (s *shell) do(args ...string) {
	if r := s.show(args...); r.code != 0 {
		s.fail(fmt.Errorf("%s: exit code %d", quote(args), r.code))
	}
}

// ask runs a command that must succeed without showing it, and returns its trimmed output.
func (s *shell) ask(args ...string) string {
	r := s.quiet(args...)
	output := strings.TrimSpace(r.output)
	if r.code != 0 {
		s.fail(fmt.Errorf("%s: exit code %d: %s", quote(args), r.code, s.mask(output)))
	}
	return output
}

// quiet runs a command without showing it. That it can't be run at all is an error; when it fails it has a code.
func (s *shell) quiet(args ...string) result {
	if s.err != nil {
		return result{}
	}
	ctx, cancel := context.WithTimeout(s.ctx, commandLimit)
	defer cancel()
	cmd := command(ctx, args)
	// Apart: `docker exec` mixes them in any order.
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{output: stdout.String() + stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		r.code = exit.ExitCode()
	case err != nil:
		s.fail(fmt.Errorf("%s: %w", quote(args), errors.Join(err, context.Cause(ctx))))
	}
	return r
}

// stream shows a command that must succeed, whose output goes straight to the terminal.
func (s *shell) stream(args ...string) {
	s.say("$ %s", quote(args))
	if s.err != nil {
		return
	}
	cmd := command(s.ctx, args)
	cmd.Stdout, cmd.Stderr = s.out, os.Stderr
	if err := cmd.Run(); err != nil {
		s.fail(fmt.Errorf("%s: %w", quote(args), err))
	}
}

// await repeats a question until the answer is yes, for at most 20 s, and returns the last answer.
func (s *shell) await(yes func() bool) bool {
	for end := time.Now().Add(20 * time.Second); s.err == nil && time.Now().Before(end); {
		if yes() {
			return true
		}
		select {
		case <-s.ctx.Done():
			s.fail(s.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false
}

// command is interrupted, not killed, when the demo is.
func command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the demo's own commands
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// environment leaves out the reader's own settings of bottled, which would go before those of the demo's file.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOTTLED_") && !strings.HasPrefix(e, "CLAUDE_BOTTLE_") {
			env = append(env, e)
		}
	}
	return append(env, "CGO_ENABLED=0") // what is built runs in an image of its own
}

// mask shows the beginning of the secret only.
func (s *shell) mask(text string) string {
	if s.secret == "" {
		return text
	}
	return strings.ReplaceAll(text, s.secret, s.secret[:min(8, len(s.secret)/2)]+"…(masked)")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote writes a command as one types it.
func quote(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if !plainWord.MatchString(a) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
