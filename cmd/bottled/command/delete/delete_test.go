package delete

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

func TestDelete(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		deleted []service.Deletion
		err     error
		asked   string
		out     string
		says    string
	}{
		"one, and one that fails": {
			args: "a b", deleted: []service.Deletion{{Bottle: "a"}, {Bottle: "b", Err: errors.New("busy")}},
			asked: "a b", out: "bottle a removed\n", says: "bottle b: busy",
		},
		"all, of none":   {args: "--all", out: "no bottles\n"},
		"no engine":      {args: "a", err: errors.New("gone"), asked: "a", says: "gone"},
		"nothing named":  {args: "", asked: "-", says: "name bottles, or give --all"},
		"all and a name": {args: "a --all", asked: "-", says: "name bottles, or give --all"},
	} {
		var out bytes.Buffer
		log, asked := zerolog.Nop(), "-"
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out, o.Log = terminal.OnWriter(&out, false, false), &log
			o.Delete = func(_ context.Context, bottles []string, _ func(execute.Progress)) ([]service.Deletion, error) {
				asked = strings.Join(bottles, " ")
				return c.deleted, c.err
			}
			return run(t.Context(), o)
		})
		err := commandtest.Execute(t, cmd, c.args)
		if asked != c.asked || out.String() != c.out || (err == nil) != (c.says == "") || err != nil && err.Error() != c.says {
			t.Errorf("%s: asks for %q, prints %q, %v; want %q, %q, %q", name, asked, &out, err, c.asked, c.out, c.says)
		}
	}
}
