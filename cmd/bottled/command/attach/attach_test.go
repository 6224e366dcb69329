package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state"
)

func TestAttach(t *testing.T) {
	for args, says := range map[string]string{"dev": "", "dev/agent": "", "dev/pipelock": "bottled logs -f dev/pipelock", "": "name a bottle", "dev web": "name one bottle"} {
		var got *Options
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error { got = o; return nil })
		err := commandtest.Execute(t, cmd, args)
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", args, err, says)
			}
			continue
		}
		log := got.Log.Select
		if err != nil || got.Bottle != "dev" || !log.Follow || log.Tail != lastLines || len(log.Of) != 1 || log.Of[0] != (service.Target{Bottle: "dev", Component: state.Agent}) {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
}

// TestRun connects to agents by what they have: to the log of one with neither an input nor a terminal.
func TestRun(t *testing.T) {
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		stdin, tty, noStdin, onTerminal bool
		hasErr, attachErr               error
		code                            int
		want                            string // what is done
		says                            string
		exit                            int
	}{
		"neither":                      {want: "log"},
		"it does not run":              {hasErr: service.ErrNotRunning, want: "log"},
		"no engine":                    {hasErr: gone, says: "bottle dev: gone", exit: exit.NoCommand},
		"an input":                     {stdin: true, onTerminal: true, want: "attach true false"},
		"a terminal":                   {tty: true, onTerminal: true, want: "attach false true"},
		"both":                         {stdin: true, tty: true, onTerminal: true, want: "attach true true"},
		"only to watch":                {stdin: true, tty: true, onTerminal: true, noStdin: true, want: "attach false true"},
		"a user without a terminal":    {stdin: true, tty: true, want: "attach true false"},
		"a user who leaves":            {stdin: true, attachErr: terminal.ErrDetached, want: "attach true false", says: "detached from bottle dev"},
		"an agent that ends":           {stdin: true, code: 7, want: "attach true false", exit: 7},
		"a connection that breaks off": {stdin: true, attachErr: gone, want: "attach true false", says: "bottle dev: gone", exit: exit.NoCommand},
	} {
		var errs bytes.Buffer
		did := ""
		opts := &Options{Streams: command.Streams{Errs: terminal.OnWriter(&errs, false, false)}, Bottle: "dev", NoStdin: c.noStdin}
		opts.Has = func(context.Context, string) (bool, bool, error) { return c.stdin, c.tty, c.hasErr }
		opts.OnTerminal = func() bool { return c.onTerminal }
		opts.Visit = func(stdin, tty bool) (service.Attachment, func()) {
			did = fmt.Sprintf("attach %t %t", stdin, tty)
			return nil, func() {}
		}
		opts.Attach = func(context.Context, string, service.Attachment) (int, error) { return c.code, c.attachErr }
		opts.Log.Logs = func(context.Context, service.LogsOptions, func(service.LogLine) error) error {
			did = "log"
			return nil
		}
		err := run(t.Context(), opts)
		said := errs.String()
		if err != nil {
			said += exit.Message(err)
		}
		if did != c.want || exit.Code(err, true) != c.exit || !strings.Contains(said, c.says) {
			t.Errorf("%s: did %q, exit code %d, said %q; want %q, %d, %q", name, did, exit.Code(err, true), said, c.want, c.exit, c.says)
		}
	}
}
