package allow

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// desk is a service whose controller allows all hosts but bad.example.
type desk struct{ allowed string }

func (d *desk) Allow(_ context.Context, bottle string, r reconciler.AllowRequest) (string, error) {
	if r.Host == "bad.example" {
		return "", fmt.Errorf("%w: no such host", reconciler.ErrDecision)
	}
	d.allowed += fmt.Sprintf("%s %s %s %q;", bottle, r.Host, r.For, r.Notes)
	return "t-" + r.Host, nil
}

func (*desk) AwaitAnswer(_ context.Context, id string, _ func(reconciler.Proposal)) (reconciler.Proposal, error) {
	return reconciler.Proposal{ID: id, Bottle: "dev", Summary: "allow it", State: reconciler.ProposalAnswered, Decision: &reconciler.Decision{Status: queue.Approved}}, nil
}

func TestAllow(t *testing.T) {
	for args, c := range map[string]struct {
		allowed, out, says string
		code               int
	}{
		"dev a.example --for 1h --note why": {allowed: `dev a.example 1h0m0s "why";`, out: "a.example: approved, bottle dev: allow it\n"},
		"dev bad.example a.example:80":      {allowed: `dev a.example:80 0s "";`, out: "a.example:80: approved, bottle dev: allow it\n", says: "bad.example: not decided: no such host", code: exit.Failed},
		"dev":                               {says: "name a bottle and at least one host", code: exit.Failed},
		"dev a.example --for -1h":           {says: "--for -1h0m0s", code: exit.BadInput},
	} {
		var out bytes.Buffer
		d := &desk{}
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out, o.Errs, o.Service = terminal.OnWriter(&out, false, false), terminal.OnWriter(&out, false, false), d
			return run(t.Context(), o)
		}), args)
		if exit.Code(err, false) != c.code || err != nil && !strings.Contains(err.Error(), c.says) || d.allowed != c.allowed || out.String() != c.out {
			t.Errorf("%q: %v (code %d), allows %s, prints %q", args, err, exit.Code(err, false), d.allowed, &out)
		}
	}
}
