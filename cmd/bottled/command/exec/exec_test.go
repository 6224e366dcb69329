package exec

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

func TestExec(t *testing.T) {
	for args, c := range map[string]struct {
		code   int
		err    error
		asked  string
		exit   int
		prints string
	}{
		"one -- true":                 {asked: "{one agent} [true] stdin false tty false", exit: 0},
		"-it one/pipelock -- x y":     {code: 127, asked: "{one pipelock} [x y] stdin true tty true", exit: 127, prints: "try /bottled sidecar pipelock healthcheck"},
		"-i one -- sh":                {code: 7, asked: "{one agent} [sh] stdin true tty false", exit: 7},
		"-t=false one/supervise -- x": {err: errors.New("gone"), asked: "{one supervise} [x] stdin false tty false", exit: 125, prints: "bottle one: supervise: gone"},
		"one/nope -- x":               {exit: 125, prints: `"one/nope": name a bottle, or a component as in BOTTLE/COMPONENT`},
		"one":                         {exit: 125, prints: "give a command, behind --"},
		"one x":                       {exit: 125, prints: "put the command behind --"},
		"one two -- x":                {exit: 125, prints: "name one bottle, not 2"},
	} {
		asked := ""
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Exec = func(_ context.Context, to service.Target, command []string, user service.Attachment) (int, error) {
				asked = fmt.Sprint(to, " ", command, " stdin ", user.Stdin(), " tty ", user.TTY())
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
