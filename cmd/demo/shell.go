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

// commandLimit bounds every single command of the demo.
const commandLimit = 3 * time.Minute

// shell runs commands in front of the reader, who can repeat them. What it prints never holds the secret.
type shell struct {
	out    io.Writer
	secret string // "" before there is one
}

// result is what a command printed, stdout before stderr, and its exit code.
type result struct {
	output string
	code   int
}

// say prints a line of text.
func (s *shell) say(format string, args ...any) {
	fmt.Fprintln(s.out, s.mask(fmt.Sprintf(format, args...)))
}

// through runs a command whose output goes straight to the terminal, where it may draw its progress. It fails when the
// command does.
func (s *shell) through(ctx context.Context, args ...string) error {
	s.say("$ %s", quote(args))
	cmd, cancel := command(ctx, args)
	defer cancel()
	cmd.Stdout, cmd.Stderr = s.out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", quote(args), err)
	}
	s.say("")
	return nil
}

// shown runs a command and prints it with its output.
func (s *shell) shown(ctx context.Context, args ...string) (result, error) {
	s.say("$ %s", quote(args))
	r, err := s.quiet(ctx, args...)
	for line := range strings.Lines(r.output) {
		s.say("  %s", strings.TrimRight(line, "\r\n"))
	}
	return r, err
}

// quiet runs a command without a word. The error is for a command that can't be run at all; one that fails has a code.
func (s *shell) quiet(ctx context.Context, args ...string) (result, error) {
	cmd, cancel := command(ctx, args)
	defer cancel()
	// Apart: `docker exec` mixes them in any order.
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	output := stdout.String() + stderr.String()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return result{output, exit.ExitCode()}, nil
	}
	if err != nil {
		return result{output, -1}, fmt.Errorf("%s: %w", quote(args), err)
	}
	return result{output: output}, nil
}

// must runs a command without a word and returns its trimmed output; it fails when the command does.
func (s *shell) must(ctx context.Context, args ...string) (string, error) {
	r, err := s.quiet(ctx, args...)
	if err != nil {
		return "", err
	}
	if r.code != 0 {
		return "", fmt.Errorf("%s: exit code %d: %s", quote(args), r.code, s.mask(strings.TrimSpace(r.output)))
	}
	return strings.TrimSpace(r.output), nil
}

func command(ctx context.Context, args []string) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the demo's own commands
	cmd.Env = environment()
	return cmd, cancel
}

// environment leaves out the reader's own settings of bottled, which would go before those of the demo's file.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOTTLED_") && !strings.HasPrefix(e, "CLAUDE_BOTTLE_") {
			env = append(env, e)
		}
	}
	return env
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
