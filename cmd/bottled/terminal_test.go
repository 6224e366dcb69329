package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// deaf is a program that does what it is not told.
type deaf struct {
	engine.Process
	signals []syscall.Signal
	err     error
}

func (d *deaf) Signal(_ context.Context, s syscall.Signal) error {
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
				tm := &terminal{signals: make(chan os.Signal, signalsAtMost)}
				p := &deaf{err: c.err}
				for _, s := range c.signals {
					tm.signals <- s
				}
				began := time.Now()
				_, err := tm.await(t.Context(), p, make(chan end))
				var exit exitError
				if !errors.As(err, &exit) || exit.code != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v (code %d), want %q and %d", err, exit.code, c.says, c.code)
				}
				if took := time.Since(began); took != c.after || len(p.signals) != len(c.signals) {
					t.Errorf("after %s, want %s; signals passed on: %v", took, c.after, p.signals)
				}
			})
		})
	}
}

func TestLogLines(t *testing.T) {
	line := engine.LogLine{Text: []byte("a\x1b[2J\tb\r\n")}
	for want, c := range map[string]struct{ terminal, named bool }{
		"a\x1b[2J\tb\r\n":                              {false, false},
		"agent      | a\x1b[2J\tb\r\n":                 {false, true},
		"a\\x1b[2J    b\n":                             {true, false},
		"\x1b[32magent      | \x1b[0ma\\x1b[2J    b\n": {true, true},
	} {
		t.Setenv("NO_COLOR", "")
		var out bytes.Buffer
		if err := logPrinter(console{&out, c.terminal, c.terminal}, c.named)(state.Agent, line); err != nil || out.String() != want {
			t.Errorf("%+v: %q (%v), want %q", c, out.String(), err, want)
		}
	}
}

// TestMerge shows lines of several logs in the order of time.
func TestMerge(t *testing.T) {
	var out bytes.Buffer
	l := &logReader{last: map[string]time.Time{}, show: func(_ state.ComponentName, line engine.LogLine) error { _, err := out.Write(line.Text); return err }}
	var containers []engine.Summary
	var streams []chan engine.LogLine
	for i, times := range [][]int64{{1, 4, 5}, {}, {2, 3, 9}} {
		containers = append(containers, engine.Summary{ID: string(rune('a' + i))})
		stream := make(chan engine.LogLine)
		streams = append(streams, stream)
		go func() {
			defer close(stream)
			for _, at := range times {
				stream <- engine.LogLine{At: time.Unix(at, 0), Text: []byte{'0' + byte(at)}}
			}
		}()
	}
	if err := l.merge(containers, streams); err != nil || out.String() != "123459" {
		t.Errorf("%s, %v", out.String(), err)
	}
	if l.last["a"] != time.Unix(5, 0) || l.last["c"] != time.Unix(9, 0) {
		t.Errorf("last lines: %v", l.last)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{"": {}, "10m": now.Add(-10 * time.Minute), "2026-01-02T03:04:00Z": now.Add(-5 * time.Second)} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	if _, err := parseSince("soon", now); err == nil {
		t.Error("soon is a time")
	}
}
