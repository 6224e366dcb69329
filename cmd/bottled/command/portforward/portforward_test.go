package portforward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state/relay"
)

func TestPortForward(t *testing.T) {
	for args, want := range map[string]struct {
		forwards string
		code     int
		says     string
	}{
		"dev 3000":                       {forwards: "[{127.0.0.1:3000 3000}]", says: "127.0.0.1:3000 leads to port 3000 of bottle dev"},
		"dev :3000 8080:80":              {forwards: "[{127.0.0.1:0 3000} {127.0.0.1:8080 80}]"},
		"dev 65535 --address localhost":  {forwards: "[{127.0.0.1:65535 65535}]"},
		"dev 1 --address ::1":            {forwards: "[{[::1]:1 1}]"},
		"dev 1 --address 0.0.0.0":        {forwards: "[{0.0.0.0:1 1}]", says: "warning: whoever can reach 0.0.0.0 reaches the agent of bottle dev"},
		"dev 65536":                      {code: exit.BadInput, says: `"65536" is not a port`},
		"dev 0":                          {code: exit.BadInput, says: `"0" is not a port`},
		"dev -- -1":                      {code: exit.BadInput, says: `"-1" is not a port`},
		"dev 65536:80":                   {code: exit.BadInput, says: "write a number from 1 to 65535, or :80 for any that is free"},
		"dev 80:":                        {code: exit.BadInput, says: `"" is not a port`},
		"dev 80 --address 127.0.0.1:80":  {code: exit.BadInput, says: "is not an address"},
		"dev 80 --address dev.localhost": {code: exit.BadInput, says: "is not an address"},
	} {
		var printed bytes.Buffer
		console := terminal.OnWriter(&printed, false, false)
		forwards := ""
		cmd := New(&command.Factory{Service: &service.Service{}}, func(opts *Options) error {
			opts.Streams = command.Streams{Out: console, Errs: console}
			opts.Forward = func(_ context.Context, o service.PortForwardOptions) error {
				forwards = fmt.Sprint(o.Forwards)
				return o.Listening(o.Forwards)
			}
			return run(t.Context(), opts)
		})
		cmd.SetArgs(strings.Fields(args))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.Execute()
		if err != nil {
			printed.WriteString(err.Error())
		}
		if forwards != want.forwards || exit.Code(err, false) != want.code || !strings.Contains(printed.String(), want.says) {
			t.Errorf("%s: %s, exit code %d, %q; want %s, %d, %q", args, forwards, exit.Code(err, false), &printed, want.forwards, want.code, want.says)
		}
	}
}

// What stops a client is said, with what to do about it.
func TestRefused(t *testing.T) {
	var printed bytes.Buffer
	opts := Options{Streams: command.Streams{Errs: terminal.OnWriter(&printed, false, false)}}
	opts.refused(service.Forward{Remote: 3000}, fmt.Errorf("so it is: %w", relay.ErrRefused))
	opts.refused(service.Forward{Remote: 80}, errors.New("gone"))
	const want = "port 3000 of the agent: so it is: nothing listens on that port of its network address; " +
		"a program that listens on 127.0.0.1 can't be reached, have it listen on 0.0.0.0\nport 80 of the agent: gone\n"
	if printed.String() != want {
		t.Errorf("%q", &printed)
	}
}
