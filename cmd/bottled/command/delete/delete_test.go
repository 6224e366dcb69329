package delete

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
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
		"nothing named":  {args: "", asked: "-", says: "name bottles, or give --selector or --all: one of the three"},
		"all and a name": {args: "a --all", asked: "-", says: "name bottles, or give --selector or --all: one of the three"},
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

// What is chosen by labels is removed by name; --all and --selector ask where somebody can answer.
func TestDeleteChosen(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		args     string
		answer   error
		nobody   bool // is there to answer
		question string
		asked    string // of the service
		says     string
	}{
		"by a label":              {args: "-l team=core", question: "Remove 2 bottles: a, b?", asked: "a b"},
		"by a label, in a script": {args: "-l team=core", nobody: true, asked: "a b"},
		"by labels that none has": {args: "-l team=none", asked: "-"},
		"all":                     {args: "--all", question: "Remove 3 bottles: a, b, c?", asked: "a b c"},
		"all, in a script":        {args: "--all", nobody: true, asked: ""}, // whatever there is by then
		"all, answered":           {args: "--all --yes", asked: ""},
		"refused":                 {args: "--all", answer: refused, question: "Remove 3 bottles: a, b, c?", asked: "-", says: "refused"},
		"by name":                 {args: "c", asked: "c"},
		"a bad selector":          {args: "-l team=(", asked: "-", says: "write for instance team=core"},
		"two ways":                {args: "a -l team=core", asked: "-", says: "one of the three"},
		"two other ways":          {args: "--all -l team=core", asked: "-", says: "one of the three"},
	} {
		log, asked, question := zerolog.Nop(), "-", ""
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out, o.Log = terminal.OnWriter(io.Discard, false, false), &log
			o.Status = func(context.Context) (reconciler.Status, error) {
				all := apitest.Status(apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Ready", ""), apitest.Bottle("c", "Ready", ""))
				all.Bottles[0].Labels, all.Bottles[1].Labels = map[string]string{"team": "core"}, map[string]string{"team": "core", "x": "y"}
				return all, nil
			}
			if !c.nobody && !strings.Contains(c.args, "--yes") {
				o.Confirm = func(q string) error { question = q; return c.answer }
			}
			o.Delete = func(_ context.Context, bottles []string, _ func(execute.Progress)) ([]service.Deletion, error) {
				asked = strings.Join(bottles, " ")
				return nil, nil
			}
			return run(t.Context(), o)
		})
		err := commandtest.Execute(t, cmd, c.args)
		if asked != c.asked || question != c.question || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: asks the user %q, the service %q, %v; want %q, %q, %q", name, question, asked, err, c.question, c.asked, c.says)
		}
	}
}
