package run

import (
	"context"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

func TestRun(t *testing.T) {
	commandtest.RunSessions(t, map[string]commandtest.Session{
		"one":               {Asked: "one [] tty false"},
		"-t one -- sh -c x": {Code: 7, Asked: "one [sh -c x] tty true", Exit: 7},
		"one -- none":       {Err: exit.CommandNotFound(errors.New("no such file")), Asked: "one [none] tty false", Exit: 127, Says: "bottle one: no such file"},
		"one -- x":          {Err: errors.New("gone"), Asked: "one [x] tty false", Exit: 125, Says: "bottle one: gone"},
		"one x":             {Exit: 125, Says: "put the command behind --"},
		"":                  {Exit: 125, Says: "name a bottle"},
	}, func(s commandtest.Session, asked func(...any)) *cobra.Command {
		return New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Session = func(_ context.Context, bottle string, command []string, attach func() (service.Attachment, func())) (int, error) {
				user, release := attach()
				defer release()
				asked(bottle, " ", command, " tty ", user.Terminal() != nil)
				return s.Code, s.Err
			}
			return run(t.Context(), o)
		})
	})
}
