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
