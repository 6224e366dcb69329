package traffic

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state/audit"
)

func TestTraffic(t *testing.T) {
	commandtest.InUTC(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := audit.Record{
		Time: at, Bottle: "one\x1b", Kind: audit.KindEgress, Component: "pipelock",
		Statement: &audit.Statement{Action: "deny", Method: "CONNECT", Host: "a.test", Port: 443, Status: "403"},
	}
	for args, c := range map[string]struct {
		want  service.TrafficOptions
		shows string
	}{
		"":                {shows: `2026-01-02 03:04:05  one\x1b/pipelock  DENY   CONNECT a.test:443  403` + "\n"},
		"one two":         {want: service.TrafficOptions{Bottles: []string{"one", "two"}}, shows: `2026-01-02 03:04:05  one\x1b/pipelock  DENY   CONNECT a.test:443  403` + "\n"},
		"one --denied -w": {want: service.TrafficOptions{Bottles: []string{"one"}, Denied: true, Follow: true}, shows: "2026-01-02 03:04:05  pipelock    DENY   CONNECT a.test:443  403\n"},
		"--since 2026-01-02T03:04:05Z -o json one": {want: service.TrafficOptions{Bottles: []string{"one"}, Since: at}, shows: `{"time":"2026-01-02T03:04:05Z","bottle":"one\u001b","kind":"egress","component":"pipelock","container":"",` +
			`"action":"deny","method":"CONNECT","host":"a.test","port":443,"status":"403"}` + "\n"},
	} {
		var out bytes.Buffer
		var got service.TrafficOptions
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out = terminal.OnWriter(&out, false, false)
			o.Traffic = func(_ context.Context, o service.TrafficOptions, show func(audit.Record) error) error {
				if got = o; len(o.Bottles) == 0 {
					got.Bottles = nil
				}
				return show(record)
			}
			return run(t.Context(), o)
		}), args)
		if diff := cmp.Diff(c.want, got) + cmp.Diff(c.shows, out.String()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", args, err, diff)
		}
	}
	if err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, nil), "-o yaml"); exit.Code(err, false) != exit.BadInput {
		t.Errorf("-o yaml: %v", err)
	}
}
