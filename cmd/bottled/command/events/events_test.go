package events

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

func TestEvents(t *testing.T) {
	commandtest.InUTC(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []reconciler.Event{
		{ID: 1, Time: at, Bottle: "dev", Component: "agent", Type: reconciler.EventWarning, Reason: "Crashed", Message: "exit code 1\n\x1b[2J", Count: 3, First: at.Add(-time.Minute)},
		{ID: 2, Time: at, Type: reconciler.EventNormal, Reason: "EngineFound", Count: 1},
	}
	for args, c := range map[string]struct{ asked, want string }{
		"": {"{ 0001-01-01 00:00:00 +0000 UTC false}", "\x1b[31m2026-01-02 03:04:05  dev  Crashed           agent: exit code 1 \\x1b[2J (3 times in 1m)\x1b[0m\n" +
			"2026-01-02 03:04:05  (controller)  EngineFound       \n"},
		"dev -w --since 2026-01-02T03:04:05Z": {"{dev 2026-01-02 03:04:05 +0000 UTC true}", "\x1b[31m2026-01-02 03:04:05  Crashed           agent: exit code 1 \\x1b[2J (3 times in 1m)\x1b[0m\n" +
			"2026-01-02 03:04:05  (controller)  EngineFound       \n"},
		"dev -o json": {"{dev 0001-01-01 00:00:00 +0000 UTC false}", `{"id":1,"time":"2026-01-02T03:04:05Z","bottle":"dev","component":"agent","type":"Warning","reason":"Crashed",` +
			`"message":"exit code 1\n\u001b[2J","count":3,"first":"2026-01-02T03:03:05Z"}` + "\n" +
			`{"id":2,"time":"2026-01-02T03:04:05Z","type":"Normal","reason":"EngineFound","message":"","count":1,"first":"0001-01-01T00:00:00Z"}` + "\n"},
	} {
		var out bytes.Buffer
		asked := ""
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out = terminal.OnWriter(&out, true, true)
			o.Events = func(_ context.Context, o service.EventsOptions, show func(reconciler.Event) error) error {
				asked = fmt.Sprint(o)
				for _, e := range events {
					if err := show(e); err != nil {
						return err
					}
				}
				return nil
			}
			return run(t.Context(), o)
		}), args)
		if diff := cmp.Diff(c.want, out.String()); diff != "" || asked != c.asked || err != nil {
			t.Errorf("%q: asks for %q, %v (-want +got):\n%s", args, asked, err, diff)
		}
	}
	if err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, nil), "-o yaml"); exit.Code(err, false) != exit.BadInput {
		t.Errorf("-o yaml: %v", err)
	}
}
