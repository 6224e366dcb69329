package exec

import (
	"context"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

func TestExec(t *testing.T) {
	commandtest.RunSessions(t, map[string]commandtest.Session{
		"one -- true":                 {Asked: "{one agent} [true] stdin false tty false"},
		"-it one/pipelock -- x y":     {Code: 127, Asked: "{one pipelock} [x y] stdin true tty true", Exit: 127, Says: "try /bottled sidecar pipelock healthcheck"},
		"-i one -- sh":                {Code: 7, Asked: "{one agent} [sh] stdin true tty false", Exit: 7},
		"-t=false one/supervise -- x": {Err: errors.New("gone"), Asked: "{one supervise} [x] stdin false tty false", Exit: 125, Says: "bottle one: supervise: gone"},
		"one/nope -- x":               {Exit: 125, Says: `"one/nope": name a bottle, or a component as in BOTTLE/COMPONENT`},
		"one":                         {Exit: 125, Says: "give a command, behind --"},
		"one x":                       {Exit: 125, Says: "put the command behind --"},
		"one two -- x":                {Exit: 125, Says: "name one bottle, not 2"},
	}, func(s commandtest.Session, asked func(...any)) *cobra.Command {
		return New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Exec = func(_ context.Context, to service.Target, command []string, user service.Attachment) (int, error) {
				asked(to, " ", command, " stdin ", user.Stdin(), " tty ", user.Terminal() != nil)
				return s.Code, s.Err
			}
			return run(t.Context(), o)
		})
	})
}
