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
	kept := apitest.Bottle("old", "NotDeclared", "it is not declared any more")
	kept.Ready = true // as far as its components go
	cutOff := ready
	cutOff.Cut = true
	status := func(change func(c *reconciler.ControllerStatus), bottles ...reconciler.BottleStatus) reconciler.Status {
		s := apitest.Status(bottles...)
		change(s.Controller)
		return s
	}
	for name, c := range map[string]struct {
		status    reconciler.Status
		confirmed bool
		out       string
		says      string // "" for success
	}{
		"in sync": {
			status: status(func(c *reconciler.ControllerStatus) { c.Revision = "main@sha1:1f0c" }, ready, apitest.Bottle("b", "Suspended", "")),
			out:    "in sync: 2 bottles, revision main@sha1:1f0c\n",
		},
		"some are not ready": {
			status: apitest.Status(apitest.Bottle("a", "Failed", "no\nimage"), ready, apitest.Bottle("c", "NotReady", "")),
			says:   "a: Failed: no image\n  c: NotReady",
		},
		"invalid": {
			status: status(func(c *reconciler.ControllerStatus) { c.Problems = []string{"x.yaml:1: no kind", "y.yaml:2: no name"} },
				apitest.Bottle("a", "InvalidManifest", "its manifest is invalid")),
			says: "manifests: x.yaml:1: no kind\n  manifests: y.yaml:2: no name\n  a: InvalidManifest: its manifest is invalid",
		},
		"kept": {
			status: apitest.Status(ready, kept),
			says:   "old: NotDeclared: it is not declared any more",
		},
		"an operator's orders": {
			status: apitest.Status(cutOff, apitest.Bottle("b", "Suspended", "suspended by an operator")),
			says:   "a: cut off by an operator; to undo: bottled resume a\n  b: Suspended: suspended by an operator",
		},
		"all are kept":    {status: apitest.Status(kept), confirmed: true, says: "old: NotDeclared: it is not declared any more"},
		"nothing":         {status: apitest.Status(), says: "nothing is declared: no manifest of a bottle was found"},
		"nothing, wanted": {status: apitest.Status(), confirmed: true, out: "in sync: 0 bottles\n"},
		"no engine": {
			status: status(func(c *reconciler.ControllerStatus) { c.Engine = reconciler.EngineStatus{Error: "refused"} }, ready),
			says:   "engine unreachable: refused",
		},
		"no source": {
			status: status(func(c *reconciler.ControllerStatus) { c.SourceError = "fetch failed" }, ready),
			says:   "source: fetch failed",
		},
	} {
		var out bytes.Buffer
		opts := &Options{Streams: command.Streams{Out: terminal.OnWriter(&out, false, false)}, Service: syncer{c.status, new(bool)}, PruneHeld: c.confirmed}
		err := run(t.Context(), opts)
		says := ""
		if err != nil {
			says = strings.TrimPrefix(err.Error(), "not in sync:\n  ")
		}
		if out.String() != c.out || says != c.says || (exit.Code(err, false) == exit.Failed) != (c.says != "") {
			t.Errorf("%s: %q, %v, want %q, %q", name, out.String(), err, c.out, c.says)
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
