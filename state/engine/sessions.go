package engine

import (
	"context"
	"io"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// SessionRuntime runs what people talk to, and reads logs.
type SessionRuntime interface {
	// CreateSession creates a container that the engine removes when it ends, and whose stdin ends with the one session.
	CreateSession(ctx context.Context, c state.Container, tty bool) (id string, err error)
	// StartSession starts it with its terminal, or its pipes, attached. mounts are as with Writer.StartContainer.
	StartSession(ctx context.Context, id string, mounts []state.Mount, tty bool) (Process, error)
	// Exec runs a command in a running container, with a stdin or without.
	Exec(ctx context.Context, id string, command []string, stdin, tty bool) (Process, error)
	// StreamLogs calls handle for every line of a container's log, until its end or, with Follow, until the container ends.
	StreamLogs(ctx context.Context, id string, o LogOptions, handle func(LogLine) error) error
}

// Process is a program in a container that somebody talks to. Its methods may be called side by side.
type Process interface {
	// Write is to its stdin; CloseWrite ends that. The engine ends a terminal's output, too, then.
	io.Writer
	CloseWrite() error
	// Receive copies what it prints, with a terminal all to stdout, until that ends.
	Receive(stdout, stderr io.Writer) error
	// Resize sets the size of its terminal, in characters. It fails while the process does not run yet.
	Resize(ctx context.Context, width, height int) error
	// Signal sends it a signal. For a command run by Exec the engine can't do that; it takes a bottled that is on the
	// engine's host and may signal the process there.
	Signal(ctx context.Context, s syscall.Signal) error
	// Wait returns its exit code when it has ended.
	Wait(ctx context.Context) (code int, err error)
	// Close ends the connection to it, and Receive.
	Close() error
}

// OutputOptions choose from a container's log.
type LogOptions struct {
	Since  time.Time // zero: all
	Tail   int       // the last lines; negative: all
	Follow bool
}

// Line is a line of a container's log.
type LogLine struct {
	At   time.Time // when the engine got it
	Text []byte    // with its newline, if it has one. A line of more than a MiB comes in pieces. Valid until tell returns
}
