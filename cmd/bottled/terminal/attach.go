package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	mobyterm "github.com/moby/term"
	"golang.org/x/term"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// sessionGrace is how long a session's program may take to end after SIGTERM or SIGHUP.
	sessionGrace = 10 * time.Second
	// maxSignals is how many signals end a session whose program ignores them, as with docker.
	maxSignals = 3
	// endOfInput is Ctrl-D: a terminal's input has no other end.
	endOfInput = "\x04"
)

// Attachment is this process' side of a session in a container.
type Attachment struct {
	in, out *os.File
	stderr  io.Writer
	stdin   bool // input goes to the program
	tty     bool // the program has a terminal
	signals chan os.Signal
	// detached is closed by the keys that detach, and by the end of a terminal's input; nil for a program that ends with its session.
	detached chan struct{}
}

// ErrDetached is returned for a user who left a program that goes on.
var ErrDetached = errors.New("detached")

// detachKeys are Ctrl-P and Ctrl-Q, as with docker attach.
var detachKeys = []byte{0x10, 0x11}

// Attach prepares a session on this process' stdin, stdout and stderr. It catches the signals until release is called.
func Attach(stdin, tty bool) (a *Attachment, release func()) {
	a = &Attachment{in: os.Stdin, out: os.Stdout, stderr: os.Stderr, stdin: stdin, tty: tty, signals: make(chan os.Signal, maxSignals)}
	signal.Notify(a.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a reader that goes away must not keep a session from being cleaned up
	return a, func() { signal.Stop(a.signals) }
}

// Visit prepares a visit to a program that goes on when the user leaves: by the keys that detach or, without a terminal, by a signal.
func Visit(stdin, tty bool) (a *Attachment, release func()) {
	a, release = Attach(stdin, tty)
	a.detached = make(chan struct{})
	return a, release
}

// Stdin says whether input goes to the program.
func (a *Attachment) Stdin() bool { return a.stdin }

// Terminal is the one that the program gets, as large as this one; nil for none.
func (a *Attachment) Terminal() *engine.Terminal {
	if !a.tty {
		return nil
	}
	width, height := a.size()
	return &engine.Terminal{Width: width, Height: height}
}

// Converse connects the terminal to a program until that ends, and returns its exit code. ctx must not end with a signal.
func (a *Attachment) Converse(ctx context.Context, p engine.Process) (int, error) {
	restore, err := a.raw()
	if err != nil {
		return 0, err
	}
	defer restore()
	if a.tty {
		defer a.followSize(ctx, p)()
	}
	if a.stdin {
		go a.send(p)
	}
	ended := make(chan end, 1)
	go func() {
		err := p.Receive(a.out, a.stderr)
		var code int
		if err == nil {
			code, err = p.Wait(ctx)
		}
		ended <- end{code, err}
	}()
	return a.await(ctx, p, ended)
}

// end is how a program ended.
type end struct {
	code int
	err  error
}

// await forwards signals until the program ends or is given up.
func (a *Attachment) await(ctx context.Context, p engine.Process, ended <-chan end) (int, error) {
	var last syscall.Signal
	var giveUp <-chan time.Time
	var why error
	for n := 0; n < maxSignals; {
		select {
		case e := <-ended:
			return e.code, e.err
		case <-giveUp:
			n = maxSignals
		case <-a.detached:
			return 0, ErrDetached
		case s := <-a.signals:
			if a.detached != nil {
				return 0, ErrDetached
			}
			n++
			last, _ = s.(syscall.Signal) // as all are on Unix
			if why = p.Signal(ctx, last); why != nil {
				giveUp = time.After(time.Second) // it may have ended just now
			} else if last != syscall.SIGINT && giveUp == nil {
				giveUp = time.After(sessionGrace)
			}
		}
	}
	if why == nil {
		why = errors.New("it does not end")
	}
	return 0, exit.Signalled(last, fmt.Errorf("given up after %s: %w", last, why))
}

// raw switches the terminal to raw mode, where one is on both sides.
func (a *Attachment) raw() (restore func(), err error) {
	if !a.tty || !a.stdin || !IsTerminal(a.in) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(a.in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	return func() { _ = term.Restore(int(a.in.Fd()), before) }, nil // it fails only when the terminal is gone
}

// send copies the input. A pipe's end closes the program's stdin; a terminal's is sent as the key that ends input.
func (a *Attachment) send(p engine.Process) {
	if a.detached != nil {
		a.sendUntilDetached(p)
		return
	}
	_, err := io.Copy(p, a.in)
	if a.tty {
		_, err = io.WriteString(p, endOfInput)
	} else if err == nil {
		err = p.CloseWrite()
	}
	_ = err // the connection's end, which the other direction reports
}

// sendUntilDetached copies the input. Its end ends a visit at a terminal, and leaves the program's stdin open.
func (a *Attachment) sendUntilDetached(p engine.Process) {
	in := io.Reader(a.in)
	if a.tty {
		in = mobyterm.NewEscapeProxy(a.in, detachKeys)
	}
	_, _ = io.Copy(p, in) // the connection's end is reported by the other direction, and the detach keys are an error here
	if a.tty {
		close(a.detached)
	}
}

// followSize keeps the program's terminal as large as this one until stop is called.
func (a *Attachment) followSize(ctx context.Context, p engine.Process) (stop func()) {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-changes:
			}
			if width, height := a.size(); width > 0 {
				_ = p.Resize(ctx, width, height) // the next change is another chance
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(done)
	}
}

// size is this terminal's; 0 when there is none here.
func (a *Attachment) size() (width, height int) {
	for _, f := range []*os.File{a.out, a.in} {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil {
			return width, height
		}
	}
	return 0, 0
}
