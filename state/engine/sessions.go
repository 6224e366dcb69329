package engine

import (
	"context"
	"io"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Terminal is the terminal that a process gets. Its size is the user's terminal's, in characters.
type Terminal struct{ Width, Height int }

// SessionRuntime runs interactive processes and streams logs. A terminal has its size from the start (Docker: from API 1.42 on; before, as
// soon as the process runs); nil is none.
type SessionRuntime interface {
	// CreateSession creates a container for one session: its stdin closes with the session, and the engine removes it when it ends.
	CreateSession(ctx context.Context, c state.Container, tty *Terminal) (id string, err error)
	// StartSession starts the container of a session with its terminal, or its pipes, attached. For mounts see Writer.StartContainer.
	StartSession(ctx context.Context, id string, mounts []state.Mount, tty *Terminal) (Process, error)
	// Attach connects to the first process of a running container: to its output and, if it was declared with one, its input or
	// terminal. The process goes on when the connection is closed.
	Attach(ctx context.Context, id string) (Process, error)
	// Exec runs a command in a running container, with or without a stdin.
	Exec(ctx context.Context, id string, command []string, stdin bool, tty *Terminal) (Process, error)
	// CopyFrom returns an archive (tar) of a file or directory of a container, running or not. The path's last element is not followed if it
	// is a symbolic link. What is in it is the agent's.
	CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, error)
	// CopyTo writes an archive of one file or directory to a container: into path, if that is a directory, otherwise as path. It belongs
	// to the container's user.
	CopyTo(ctx context.Context, id, path string, archive io.Reader) error
	// StreamLogs calls handle for every line of a container's log until the log ends; with Follow, until the container ends. An error
	// of handle ends it, too.
	StreamLogs(ctx context.Context, id string, o LogOptions, handle func(LogLine) error) error
}

// Process is an attached process in a container. Its methods are safe for concurrent use.
type Process interface {
	// Write writes to the process's stdin, and CloseWrite closes that. With a terminal, CloseWrite ends the output, too.
	io.Writer
	CloseWrite() error
	// Receive copies the process's output until it ends. With a terminal all of it goes to stdout.
	Receive(stdout, stderr io.Writer) error
	// Resize sets the size of the terminal, in characters. It fails before the process runs.
	Resize(ctx context.Context, width, height int) error
	// Signal sends a signal. Docker cannot signal a command run by Exec; that works only when bottled runs on the engine's host
	// with permission to signal the process.
	Signal(ctx context.Context, s syscall.Signal) error
	// Wait waits for the end of the process and returns its exit code.
	Wait(ctx context.Context) (code int, err error)
	// Close closes the connection to the process, which ends Receive.
	Close() error
}

// LogOptions select lines of a container's log.
type LogOptions struct {
	Since  time.Time // zero: all
	Tail   int       // number of last lines; negative: all
	Follow bool
}

// LogLine is a line of a container's log.
type LogLine struct {
	At   time.Time // when the engine received it
	Text []byte    // with its newline, if it has one; valid until handle returns. A line of more than 1 MiB comes in pieces
}
