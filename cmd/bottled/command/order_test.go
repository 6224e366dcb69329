package command_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/cut"
	"github.com/bot-bottle/bottled/cmd/bottled/command/restart"
	"github.com/bot-bottle/bottled/cmd/bottled/command/resume"
	"github.com/bot-bottle/bottled/cmd/bottled/command/suspend"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

// TestOrders: each command gives its order for what is named, and says how that ended.
func TestOrders(t *testing.T) {
	cutOff := apitest.Bottle("dev", "InvalidManifest", "its manifest is invalid")
	cutOff.Cut = true
	commands := map[string]func(*command.Factory, func(*command.OrderOptions) error) *cobra.Command{
		"restart": restart.New, "suspend": suspend.New, "cut": cut.New, "resume": resume.New,
	}
	for _, c := range []struct {
		command, args string
		status        reconciler.BottleStatus
		refused       error
		gave, out     string
		says          string // the error
	}{
		{command: "restart", args: "dev", status: apitest.Bottle("dev", "Ready", ""), gave: "restart dev/", out: "dev restarted\n"},
		{command: "restart", args: "dev/agent", status: apitest.Bottle("dev", "Ready", ""), gave: "restart dev/agent", out: "dev/agent restarted\n"},
		{command: "restart", args: "dev", status: apitest.Bottle("dev", "Failed", "no image"), gave: "restart dev/", says: "bottle dev: Failed: no image"},
		{command: "restart", args: "dev", refused: errors.New("there is no such bottle"), gave: "restart dev/", says: "there is no such bottle"},
		{command: "restart", args: "dev/nothing", says: "name a bottle, or a component"},
		{command: "restart", args: "dev alpha", says: "name one bottle, not 2"},
		{
			command: "suspend", args: "dev", status: apitest.Bottle("dev", "Suspended", ""), gave: "suspend dev/",
			out: "dev suspended, until its manifest changes or: bottled resume dev\n",
		},
		{command: "suspend", args: "dev/agent", says: "suspend is for whole bottles: bottled suspend dev"},
		{command: "cut", args: "dev", status: cutOff, gave: "cut dev/", out: "dev is cut off. To undo: bottled resume dev\n"},
		{command: "cut", args: "dev", status: apitest.Bottle("dev", "Failed", "no engine"), gave: "cut dev/", says: "bottle dev is not cut off: Failed: no engine"},
		{command: "resume", args: "dev", status: apitest.Bottle("dev", "Ready", ""), gave: "resume dev/", out: "dev resumed\n"},
		{command: "resume", args: "dev", status: apitest.Bottle("dev", "Suspended", ""), gave: "resume dev/", says: "take suspend: true out of its manifest"},
	} {
		var out bytes.Buffer
		var gave string
		f := &command.Factory{Service: &service.Service{}, Streams: command.Streams{Out: terminal.OnWriter(&out, false, false)}}
		var opts *command.OrderOptions
		cmd := commands[c.command](f, func(o *command.OrderOptions) error { opts = o; return nil })
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(c.args))
		err := cmd.ExecuteContext(t.Context())
		if err == nil {
			opts.Give = func(_ context.Context, to service.Target, order reconciler.Order) (reconciler.BottleStatus, error) {
				gave = string(order) + " " + to.Bottle + "/" + string(to.Component)
				return c.status, c.refused
			}
			err = opts.Run(t.Context())
		}
		if gave != c.gave || out.String() != c.out || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: gave %q, printed %q, %v; want %q, %q, %q", c.command, c.args, gave, out.String(), err, c.gave, c.out, c.says)
		}
		if c.gave != "" && err != nil && exit.Code(err, false) != exit.Failed {
			t.Errorf("%s %s: exit code %d", c.command, c.args, exit.Code(err, false))
		}
	}
}
