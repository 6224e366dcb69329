package rollback

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

// desk is a service whose controller rolls bottle dev back.
type desk struct{ done string }

func (*desk) ReviewRollback(_ context.Context, bottle string) (reconciler.Review, error) {
	switch bottle {
	case "dev":
		return reconciler.Review{File: "/i/Dockerfile", Digest: "d", Diff: "+FROM a", Plan: []string{"replace container agent"}}, nil
	case "blocked":
		return reconciler.Review{Blocked: "no build"}, nil
	}
	return reconciler.Review{}, fmt.Errorf("%w: none is kept", reconciler.ErrDecision)
}

func (d *desk) Rollback(_ context.Context, bottle string, r reconciler.RollbackRequest) (string, error) {
	d.done += fmt.Sprintf("%s %s %q;", bottle, r.Digest, r.Notes)
	return "t-aaaa", nil
}

func (*desk) AwaitAnswer(_ context.Context, id string, _ func(reconciler.Proposal)) (reconciler.Proposal, error) {
	return reconciler.Proposal{ID: id, Bottle: "dev", Summary: "it", State: reconciler.ProposalAnswered, Decision: &reconciler.Decision{Status: queue.Approved}}, nil
}

func TestRollback(t *testing.T) {
	no := errors.New("not confirmed")
	for _, c := range []struct {
		args            string
		answer          error
		done, out, says string
		code            int
	}{
		{args: "dev --note why", done: `dev d "why";`, out: "\nchange of /i/Dockerfile\n  +FROM a\n\na rollback will\n  replace container agent\n\naaaa: approved, bottle dev: it\n"},
		{args: "dev", answer: no, out: "\nchange of /i/Dockerfile\n  +FROM a\n\na rollback will\n  replace container agent\n\n", says: "not confirmed", code: exit.Failed},
		{args: "dev --yes", answer: no, done: `dev d "";`, out: "aaaa: approved, bottle dev: it\n"},
		{args: "blocked", says: "bottle blocked can't be rolled back: no build", code: exit.Failed},
		{args: "other", says: "none is kept", code: exit.Failed},
		{args: "", says: "name a bottle", code: exit.Failed},
	} {
		var out bytes.Buffer
		d := &desk{}
		yes := strings.Contains(c.args, "--yes")
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			if o.Out, o.Errs, o.Service = terminal.OnWriter(&out, false, false), terminal.OnWriter(&out, false, false), d; !yes {
				o.Confirm = func(string) error { return c.answer }
			}
			return run(t.Context(), o)
		}), c.args)
		if exit.Code(err, false) != c.code || err != nil && !strings.Contains(err.Error(), c.says) || d.done != c.done || out.String() != c.out {
			t.Errorf("%q: %v (code %d), does %s, prints %q", c.args, err, exit.Code(err, false), d.done, &out)
		}
	}
}
