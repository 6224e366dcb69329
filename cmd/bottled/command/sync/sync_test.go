package sync

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

// syncer is a Syncer whose resync ends with a status.
type syncer struct {
	status reconciler.Status
	pruned *bool
}

func (s syncer) RequestSync(_ context.Context, prune bool) (int64, error) {
	*s.pruned = prune
	return 7, nil
}

func (s syncer) AwaitSync(_ context.Context, number int64) (reconciler.Status, error) {
	if number != 7 {
		return s.status, errors.New("another resync is awaited")
	}
	return s.status, nil
}

func TestVerdict(t *testing.T) {
	ready := apitest.Bottle("a", "Ready", "")
	status := func(change func(c *reconciler.ControllerStatus), bottles ...reconciler.BottleStatus) reconciler.Status {
		s := apitest.Status(bottles...)
		change(s.Controller)
		return s
	}
	for name, c := range map[string]struct {
		status reconciler.Status
		out    string
		says   string
		code   int
	}{
		"in sync": {
			status: status(func(c *reconciler.ControllerStatus) { c.Revision = "main@sha1:1f0c" }, ready, apitest.Bottle("b", "Suspended", "")),
			out:    "in sync: 2 bottles, revision main@sha1:1f0c\n",
		},
		"some are not ready": {
			status: apitest.Status(apitest.Bottle("a", "Failed", "no\nimage"), ready, apitest.Bottle("c", "NotReady", "")),
			says:   "2 of 3 bottles not ready: a (Failed: no image), c (NotReady)", code: exit.Failed,
		},
		"no engine": {
			status: status(func(c *reconciler.ControllerStatus) { c.Engine = reconciler.EngineStatus{Error: "refused"} }, ready),
			says:   "engine unreachable: refused", code: exit.Failed,
		},
		"no source": {
			status: status(func(c *reconciler.ControllerStatus) { c.SourceError = "fetch failed" }, ready),
			says:   "source can't be read: fetch failed", code: exit.Failed,
		},
		"bad manifests": {
			status: status(func(c *reconciler.ControllerStatus) { c.Problems = []string{"x.yaml:1: no kind"} }, ready),
			says:   "1 problem in the manifests: x.yaml:1: no kind", code: exit.BadInput,
		},
	} {
		var out bytes.Buffer
		opts := &Options{Streams: command.Streams{Out: terminal.OnWriter(&out, false, false)}, Service: syncer{c.status, new(bool)}}
		err := run(t.Context(), opts)
		if out.String() != c.out || exit.Code(err, false) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v, want %q, %q (code %d)", name, out.String(), err, c.out, c.says, c.code)
		}
	}
}

func TestNoWait(t *testing.T) {
	var out bytes.Buffer
	s := syncer{apitest.Status(apitest.Bottle("a", "Failed", "")), new(bool)}
	cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
		o.Service, o.Out = s, terminal.OnWriter(&out, false, false)
		return run(t.Context(), o)
	})
	if err := commandtest.Execute(t, cmd, "--no-wait --prune-held"); err != nil || out.String() != "sync requested\n" || !*s.pruned {
		t.Errorf("%v, %q, prune %t", err, out.String(), *s.pruned)
	}
}
