package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

func TestRun(t *testing.T) {
	for args, c := range map[string]struct {
		code   int
		err    error
		asked  string
		exit   int
		prints string
	}{
		"one":               {asked: "one [] tty false", exit: 0},
		"-t one -- sh -c x": {code: 7, asked: "one [sh -c x] tty true", exit: 7},
		"one -- none":       {err: exit.CommandNotFound(errors.New("no such file")), asked: "one [none] tty false", exit: 127, prints: "bottle one: no such file"},
		"one -- x":          {err: errors.New("gone"), asked: "one [x] tty false", exit: 125, prints: "bottle one: gone"},
		"one x":             {exit: 125, prints: "put the command behind --"},
		"":                  {exit: 125, prints: "name one bottle, not 0"},
	} {
		asked := ""
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Session = func(_ context.Context, bottle string, command []string, attach func() (service.Attachment, func())) (int, error) {
				user, release := attach()
				defer release()
				asked = fmt.Sprint(bottle, " ", command, " tty ", user.TTY())
				return c.code, c.err
			}
			return run(t.Context(), o)
		})
		cmd.SetArgs(strings.Fields(args))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(t.Context())
		if asked != c.asked || exit.Code(err, true) != c.exit || err != nil && !strings.Contains(exit.Message(err), c.prints) {
			t.Errorf("%s: asks for %q, code %d, %v; want %q, %d, %q", args, asked, exit.Code(err, true), err, c.asked, c.exit, c.prints)
		}
	}
}
