package wait

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

func TestFlags(t *testing.T) {
	var got *Options
	cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error { got = o; return nil })
	if err := commandtest.Execute(t, cmd, "a b --for completed"); err != nil || got.For != "completed" || !slices.Equal(got.Bottles, []string{"a", "b"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := commandtest.Execute(t, cmd, "a --for done"); exit.Code(err, false) != exit.BadInput {
		t.Errorf("--for done: %v", err)
	}
	if err := commandtest.Execute(t, cmd, ""); err == nil {
		t.Error("no bottle is needed")
	}
}

func agent(name, phase, cause string, code int) reconciler.BottleStatus {
	c := apitest.Component(state.Agent, "exited", 0)
	c.Phase, c.Cause, c.Ended = phase, cause, &reconciler.Ending{ExitCode: code, At: apitest.Now}
	return apitest.Bottle(name, phase, cause, c)
}

func TestOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		what    string
		reached []reconciler.BottleStatus
		err     error
		out     string
		code    int
		says    string
	}{
		"ready":     {what: "ready", reached: []reconciler.BottleStatus{apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Ready", "")}, out: "a is ready\nb is ready\n"},
		"completed": {what: "completed", reached: []reconciler.BottleStatus{agent("a", "Completed", "", 0)}, out: "a: Completed with exit code 0\n"},
		"failed": {
			what: "completed", reached: []reconciler.BottleStatus{agent("a", "Completed", "", 0), agent("b", "Failed", "it failed with exit code 3", 3), agent("c", "Failed", "it failed", 4)},
			out: "a: Completed with exit code 0\nb: Failed with exit code 3\nc: Failed with exit code 4\n", code: 3, says: "bottle b: the agent: it failed with exit code 3",
		},
		"timeout": {what: "completed", err: errors.New("not completed after 1m0s"), code: 1, says: "not completed after 1m0s"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), &Options{
			Streams: command.Streams{Out: terminal.OnWriter(&out, false, false)}, For: c.what,
			Await: func(_ context.Context, _ []string, what service.Awaited) ([]reconciler.BottleStatus, error) {
				if string(what) != c.what {
					t.Errorf("%s: %s is awaited", name, what)
				}
				return c.reached, c.err
			},
		})
		if code := exit.Code(err, false); code != c.code || out.String() != c.out || err != nil && exit.Message(err) != c.says {
			t.Errorf("%s: exit code %d, %v, %q; want %d, %q, %q", name, code, err, &out, c.code, c.says, c.out)
		}
	}
}
