package terminal

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state/engine"
)

// deafProgram is a program that ignores signals.
type deafProgram struct {
	engine.Process
	signals []syscall.Signal
	err     error
}

func (d *deafProgram) Signal(_ context.Context, s syscall.Signal) error {
	d.signals = append(d.signals, s)
	return d.err
}

// TestGivenUp shows when a session ends though its program does not.
func TestGivenUp(t *testing.T) {
	gone := errors.New("not here")
	for name, c := range map[string]struct {
		signals []os.Signal
		err     error
		after   time.Duration
		code    int
		says    string
	}{
		"three interrupts": {[]os.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGINT}, nil, 0, 130, "interrupt: it does not end"},
		"terminated":       {[]os.Signal{syscall.SIGTERM}, nil, sessionGrace, 143, "terminated"},
		"hung up":          {[]os.Signal{syscall.SIGHUP}, nil, sessionGrace, 129, "hangup"},
		"out of reach":     {[]os.Signal{syscall.SIGINT}, gone, time.Second, 130, "not here"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tm := &Attachment{signals: make(chan os.Signal, maxSignals)}
				p := &deafProgram{err: c.err}
				for _, s := range c.signals {
					tm.signals <- s
				}
				began := time.Now()
				_, err := tm.await(t.Context(), p, make(chan end))
				if code := exit.Code(err, true); code != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v (code %d), want %q and %d", err, code, c.says, c.code)
				}
				if took := time.Since(began); took != c.after || len(p.signals) != len(c.signals) {
					t.Errorf("after %s, want %s; signals passed on: %v", took, c.after, p.signals)
				}
			})
		})
	}
}

// TestVisit shows how a visit ends while its program goes on: by the keys that detach, by the end of the terminal, or by a signal where
// there is none.
func TestVisit(t *testing.T) {
	for name, c := range map[string]struct {
		tty    bool
		typed  string
		signal bool
		sent   string
		stays  bool
	}{
		"the keys":                       {tty: true, typed: "a\x10b\x10\x11c", sent: "a\x10b"},
		"the end of the terminal":        {tty: true, typed: "abc", sent: "abc"},
		"a signal without a terminal":    {typed: "a\x10\x11", signal: true, sent: "a\x10\x11"},
		"the end of a pipe is no reason": {typed: "a", sent: "a", stays: true},
	} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		p := &typedTo{}
		a := &Attachment{in: in, tty: c.tty, signals: make(chan os.Signal, 1), detached: make(chan struct{})}
		a.send(p)
		ended := make(chan end, 1)
		if c.signal {
			a.signals <- syscall.SIGINT
		} else if c.stays {
			ended <- end{code: 3}
		}
		code, err := a.await(t.Context(), p, ended)
		if left := errors.Is(err, ErrDetached); left == c.stays || c.stays && code != 3 || p.text.String() != c.sent {
			t.Errorf("%s: %q was sent, %d, %v", name, p.text.String(), code, err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// typedTo is a program that is typed to.
type typedTo struct {
	engine.Process
	text strings.Builder
}

func (p *typedTo) Write(b []byte) (int, error) { return p.text.Write(b) }
