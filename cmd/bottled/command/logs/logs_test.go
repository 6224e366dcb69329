package logs

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

const denial = `{"level":"warn","event":"egress","action":"deny","method":"GET","host":"example.com","port":80,"status":403,` +
	`"reason":"domain not in allowlist: example.com","run":"R","number":1}` + "\n"

// lines is what the service shows: a sidecar's decision, a hostile agent's line, and one that looks like a sidecar's.
func lines(bottle string) []service.LogLine {
	line := func(c state.ComponentName, text string) service.LogLine {
		return service.LogLine{Target: service.Target{Bottle: bottle, Component: c}, LogLine: engine.LogLine{At: at, Text: []byte(text)}}
	}
	return []service.LogLine{line(state.Pipelock, denial), line(state.Agent, "a\x1b[2J\tb\r\n"), line(state.Agent, `{"event":"egress","run":"R","number":2}`)}
}

func TestLogs(t *testing.T) {
	commandtest.InUTC(t)
	gone := []service.LogLine{{
		Target: service.Target{Bottle: "one", Component: state.Pipelock}, LogLine: engine.LogLine{At: at},
		Decision: &audit.Record{Kind: audit.KindEgress, Bottle: "one", Statement: &audit.Statement{Action: "deny", Host: "a.test", Port: 443}},
	}}
	for args, c := range map[string]struct {
		lines    []service.LogLine
		terminal bool
		want     string
	}{
		"one": {lines: lines("one"), want: "03:04:05  pipelock    DENY   GET example.com:80  403  not in allowlist\n" +
			`03:04:05  agent       a\x1b[2J    b` + "\n" + `03:04:05  agent       {"event":"egress","run":"R","number":2}` + "\n"},
		"one --timestamps": {lines: lines("one")[1:2], want: `2026-01-02T03:04:05.0000006Z  agent       a\x1b[2J    b` + "\n"},
		"one two/agent":    {lines: lines("two")[1:2], want: `03:04:05  two/agent   a\x1b[2J    b` + "\n"},
		"one/agent":        {lines: lines("one")[1:2], want: `03:04:05  a\x1b[2J    b` + "\n"},
		"one/agent -f":     {lines: lines("one")[1:2], terminal: true, want: `03:04:05  a\x1b[2J    b` + "\n"},
		"one -f": {lines: lines("one")[:2], terminal: true, want: "03:04:05  \x1b[36mpipelock  \x1b[0m  \x1b[31mDENY   GET example.com:80  403  not in allowlist\x1b[0m\n" +
			"03:04:05  \x1b[32magent     \x1b[0m  " + `a\x1b[2J    b` + "\n"},
		"one/pipelock -o json":           {lines: lines("one")[:1], want: denial},
		"one -o json":                    {lines: lines("one")[1:2], want: "agent      | a\x1b[2J\tb\r\n"},
		"one -o json --tail 3":           {lines: lines("one")[1:2], terminal: true, want: "\x1b[32magent      | \x1b[0m" + `a\x1b[2J    b` + "\n"},
		"one/agent -o json --timestamps": {lines: lines("one")[1:2], want: "2026-01-02T03:04:05.0000006Z a\x1b[2J\tb\r\n"},
		"one -p":                         {lines: gone, want: "03:04:05  pipelock    DENY   a.test:443\n"},
		"one/pipelock -p -o json":        {lines: gone, want: `{"time":"0001-01-01T00:00:00Z","bottle":"one","kind":"egress","component":"","container":"","action":"deny","host":"a.test","port":443}` + "\n"},
	} {
		var out bytes.Buffer
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out = terminal.OnWriter(&out, c.terminal, c.terminal)
			o.Logs = func(_ context.Context, _ service.LogsOptions, show func(service.LogLine) error) error {
				for _, line := range c.lines {
					if err := show(line); err != nil {
						return err
					}
				}
				return nil
			}
			return Run(t.Context(), o)
		}), args)
		if diff := cmp.Diff(c.want, out.String()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", args, err, diff)
		}
	}
}

func TestSelector(t *testing.T) {
	status := reconciler.Status{Bottles: []reconciler.BottleStatus{
		{Slug: "one", Labels: map[string]string{"team": "core"}}, {Slug: "two", Labels: map[string]string{"team": "web"}}, {Slug: "three", Labels: map[string]string{"team": "core"}},
	}}
	for selector, want := range map[string][]service.Target{
		"team=core": {{Bottle: "one"}, {Bottle: "three"}}, "team!=core": {{Bottle: "two"}}, "team=none": nil,
	} {
		var got []service.Target
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Status = func(context.Context) (reconciler.Status, error) { return status, nil }
			o.Logs = func(_ context.Context, s service.LogsOptions, _ func(service.LogLine) error) error {
				got = s.Of
				return nil
			}
			return Run(t.Context(), o)
		}), "-l "+selector)
		if diff := cmp.Diff(want, got); diff != "" || (err != nil) != (want == nil) {
			t.Errorf("%s: %v (-want +got):\n%s", selector, err, diff)
		}
	}
}

func TestFlags(t *testing.T) {
	one, agent := service.Target{Bottle: "one"}, service.Target{Bottle: "two", Component: state.Agent}
	for args, want := range map[string]service.LogsOptions{
		"-f --tail 3 one two/agent":             {Of: []service.Target{one, agent}, Follow: true, Tail: 3},
		"-p --since 2026-01-02T03:04:05Z one":   {Of: []service.Target{one}, Previous: true, Tail: -1, Since: at.Truncate(time.Second)},
		"one --since 2026-01-02T04:04:05+01:00": {Of: []service.Target{one}, Tail: -1, Since: at.Truncate(time.Second)},
	} {
		var got service.LogsOptions
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error { got = o.Select; return nil }), args)
		if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", args, err, diff)
		}
	}
	for _, args := range []string{"one/nope", "one -o yaml", "one -p -f", "one -p --tail 1"} {
		if err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, nil), args); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%s: %v", args, err)
		}
	}
	for _, args := range []string{"", "one --since yesterday", "one -l a=b"} {
		if err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, nil), args); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}
