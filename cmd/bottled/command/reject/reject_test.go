package reject

import (
	"bytes"
	"context"
	"errors"
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

// desk is a service whose controller decides at once.
type desk struct {
	decided string
}

func (*desk) CheckController(context.Context) error { return nil }

func (*desk) FindProposal(_ context.Context, id string) (reconciler.Proposal, error) {
	return service.SelectProposal([]reconciler.Proposal{{ID: "t-aaaa", Bottle: "dev"}, {ID: "t-bbbb", Bottle: "web"}}, id)
}

func (*desk) Review(context.Context, string) (reconciler.Review, error) {
	return reconciler.Review{}, errors.New("nobody needs it")
}

func (d *desk) Decide(_ context.Context, id string, r reconciler.DecisionRequest) error {
	if id == "t-bbbb" {
		return fmt.Errorf("%w: alice was first", reconciler.ErrDecision)
	}
	d.decided += fmt.Sprintf("%s %t %q;", id, r.Approve, r.Notes)
	return nil
}

func (*desk) AwaitAnswer(_ context.Context, id string, _ func(reconciler.Proposal)) (reconciler.Proposal, error) {
	return reconciler.Proposal{ID: id, Bottle: "dev", Summary: "allow x", State: reconciler.ProposalAnswered, Decision: &reconciler.Decision{Status: queue.Rejected}}, nil
}

func TestReject(t *testing.T) {
	for args, c := range map[string]struct {
		decided, out, says string
		code               int
	}{
		"aaaa --note no":      {decided: `t-aaaa false "no";`, out: "aaaa: rejected, bottle dev: allow x\n"},
		"aaaa bbbb --note no": {decided: `t-aaaa false "no";`, out: "aaaa: rejected, bottle dev: allow x\n", says: "alice was first", code: exit.Failed},
		"aaaa":                {says: `say why, for the agent: --note "…"`, code: exit.BadInput},
		"cccc aaaa --note no": {says: `there is no proposal "cccc"`, code: exit.Failed},
		"--note no":           {says: "name a proposal", code: exit.Failed},
	} {
		var out bytes.Buffer
		d := &desk{}
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out, o.Errs, o.Service = terminal.OnWriter(&out, false, false), terminal.OnWriter(&out, false, false), d
			return run(t.Context(), o)
		}), args)
		if exit.Code(err, false) != c.code || err != nil && !strings.Contains(err.Error(), c.says) || d.decided != c.decided || out.String() != c.out {
			t.Errorf("%q: %v (code %d), decides %s, prints %q", args, err, exit.Code(err, false), d.decided, &out)
		}
	}
}
