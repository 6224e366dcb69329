package logs

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

func TestPrinter(t *testing.T) {
	line := engine.LogLine{Text: []byte("a\x1b[2J\tb\r\n")}
	for want, c := range map[string]struct{ terminal, named bool }{
		"a\x1b[2J\tb\r\n":                              {false, false},
		"agent      | a\x1b[2J\tb\r\n":                 {false, true},
		"a\\x1b[2J    b\n":                             {true, false},
		"\x1b[32magent      | \x1b[0ma\\x1b[2J    b\n": {true, true},
	} {
		var out bytes.Buffer
		if err := printer(terminal.OnWriter(&out, c.terminal, c.terminal), c.named)(state.Agent, line); err != nil || out.String() != want {
			t.Errorf("%+v: %q (%v), want %q", c, out.String(), err, want)
		}
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

func TestFlags(t *testing.T) {
	var got service.LogsOptions
	cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
		o.Logs = func(_ context.Context, o service.LogsOptions, _ func(state.ComponentName, engine.LogLine) error) error {
			got = o
			return nil
		}
		return run(t.Context(), o)
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"-f", "--tail", "3", "--since", "2026-01-02T03:04:05Z", "one/agent"})
	want := service.LogsOptions{
		Target: service.Target{Bottle: "one", Component: state.Agent}, Follow: true, Tail: 3, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if err := cmd.ExecuteContext(t.Context()); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, args := range [][]string{{"one/nope"}, {"one", "--since", "soon"}} {
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%q: %v", args, err)
		}
	}
}
