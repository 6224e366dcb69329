package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// sessionGrace is how long a session's program may take to end after SIGTERM or SIGHUP.
	sessionGrace = 10 * time.Second
	// signalsAtMost end a session whose program ignores them, as docker has it.
	signalsAtMost = 3
	// endOfInput is Ctrl-D: a terminal's input has no other end.
	endOfInput = "\x04"
)

// terminal is this process' side of a session.
type terminal struct {
	in, out *os.File
	stderr  io.Writer
	stdin   bool // what is typed, or comes in a pipe, goes to the program
	tty     bool // the program has a terminal
	signals chan os.Signal
}

// ttyFlag adds -t. A terminal is given to the program when there is one on both sides, unless the flag says otherwise.
func ttyFlag(cmd *cobra.Command) (chosen func() bool) {
	tty := cmd.Flags().BoolP("tty", "t", false, "give the command a terminal (default: when stdin and stdout are one)")
	return func() bool {
		if cmd.Flags().Changed("tty") {
			return *tty
		}
		return isTerminal(os.Stdin) && isTerminal(os.Stdout)
	}
}

// newTerminal takes the signals from now on. release gives them back.
func newTerminal(stdin, tty bool) (t *terminal, release func()) {
	t = &terminal{in: os.Stdin, out: os.Stdout, stderr: os.Stderr, stdin: stdin, tty: tty, signals: make(chan os.Signal, signalsAtMost)}
	signal.Notify(t.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a reader that goes away must not keep a session from being cleaned up
	return t, func() { signal.Stop(t.signals) }
}

// converse connects the terminal to a program until that ends, and returns its exit code. ctx must not end with a signal.
func (t *terminal) converse(ctx context.Context, p engine.Process) (int, error) {
	restore, err := t.raw()
	if err != nil {
		return 0, err
	}
	defer restore()
	if t.tty {
		defer t.followSize(ctx, p)()
	}
	if t.stdin {
		go t.send(p)
	}
	ended := make(chan end, 1)
	go func() {
		err := p.Receive(t.out, t.stderr)
		var code int
		if err == nil {
			code, err = p.Wait(ctx)
		}
		ended <- end{code, err}
	}()
	return t.await(ctx, p, ended)
}

// end is how a program ended.
type end struct {
	code int
	err  error
}

// await passes signals on until the program ends, or is given up.
func (t *terminal) await(ctx context.Context, p engine.Process, ended <-chan end) (int, error) {
	var last syscall.Signal
	var giveUp <-chan time.Time
	var why error
	for n := 0; n < signalsAtMost; {
		select {
		case e := <-ended:
			return e.code, e.err
		case <-giveUp:
			n = signalsAtMost
		case s := <-t.signals:
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
	return 0, exitError{exitBySignal + int(last), fmt.Errorf("given up after %s: %w", last, why)}
}

// raw has every key go to the program, where a terminal is on both sides.
func (t *terminal) raw() (restore func(), err error) {
	if !t.tty || !t.stdin || !isTerminal(t.in) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	return func() { _ = term.Restore(int(t.in.Fd()), before) }, nil // it fails only when the terminal is gone
}

// send copies what is typed. The end of a pipe is told; a terminal can only be told as if it was typed.
func (t *terminal) send(p engine.Process) {
	_, err := io.Copy(p, t.in)
	if t.tty {
		_, err = io.WriteString(p, endOfInput)
	} else if err == nil {
		err = p.CloseWrite()
	}
	_ = err // the connection's end, which the other direction tells
}

// followSize keeps the program's terminal as large as this one until stop is called.
func (t *terminal) followSize(ctx context.Context, p engine.Process) (stop func()) {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for try := 0; t.resize(ctx, p) != nil && try < 10; try++ {
			select { // the command may not run yet
			case <-done:
			case <-time.After(20 * time.Millisecond):
			}
		}
		for {
			select {
			case <-done:
				return
			case <-changes:
				_ = t.resize(ctx, p) // the next change is another chance
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(done)
	}
}

func (t *terminal) resize(ctx context.Context, p engine.Process) error {
	for _, f := range []*os.File{t.out, t.in} {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil {
			return p.Resize(ctx, width, height)
		}
	}
	return nil // there is none here
}
