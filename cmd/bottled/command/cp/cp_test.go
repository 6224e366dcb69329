package cp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/service/transfer"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

type copier struct {
	asked   string
	skipped []transfer.Skipped
	err     error
}

func (c *copier) CopyFrom(_ context.Context, from service.Target, name, local string, limit int64) ([]transfer.Skipped, error) {
	c.asked = fmt.Sprint("from ", from, " ", name, " to ", local, " ", limit)
	return c.skipped, c.err
}

func (c *copier) CopyTo(_ context.Context, local string, to service.Target, name string) ([]transfer.Skipped, error) {
	c.asked = fmt.Sprint(local, " to ", to, " ", name)
	return c.skipped, c.err
}

func TestCp(t *testing.T) {
	for args, c := range map[string]struct{ asked, says string }{
		"dev:/a/b .":                       {asked: "from {dev agent} /a/b to . 1073741824"},
		"dev/pipelock:/a b --max-size 1Ki": {asked: "from {dev pipelock} /a to b 1024"},
		"./a:b dev:/x":                     {asked: "./a:b to {dev agent} /x"},
		"/a:b dev:/x/":                     {asked: "/a:b to {dev agent} /x/"},
		"dev:/a":                           {says: "name a source and a destination"},
		"a b":                              {says: "one of the two paths must be in a bottle"},
		"dev:/a web:/b":                    {says: "one of the two paths must be in a bottle"},
		"dev:a b":                          {says: "write the absolute path in the bottle"},
		"dev/agnt:/a b":                    {says: "did you mean dev/agent?"},
		"dev:/a b --max-size lots":         {says: "--max-size"},
		"dev:/a b --max-size 0":            {says: "--max-size"},
	} {
		f := &copier{}
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Service = f
			return run(t.Context(), o)
		})
		err := commandtest.Execute(t, cmd, args)
		if f.asked != c.asked || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: asks for %q, %v; want %q, %q", args, f.asked, err, c.asked, c.says)
		}
	}
}

// What was left out is named, also when the copy fails, and whatever its name is.
func TestSkipped(t *testing.T) {
	var errs bytes.Buffer
	f := &copier{skipped: []transfer.Skipped{{Path: "a\x1b[2J", Reason: "it is a symbolic link to /etc"}}, err: errors.New("broken")}
	o := &Options{Service: f, Streams: command.Streams{Errs: terminal.OnWriter(&errs, true, false)}, Target: service.Target{Bottle: "dev"}}
	if err := run(t.Context(), o); err == nil || err.Error() != "bottle dev: broken" {
		t.Errorf("%v", err)
	}
	if got := errs.String(); !strings.HasPrefix(got, "not copied: a") || strings.Contains(got, "\x1b") || !strings.Contains(got, "symbolic link to /etc") {
		t.Errorf("%q", got)
	}
}
