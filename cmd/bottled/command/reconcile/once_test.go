package reconcile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
)

// passes is a Reconciler whose passes end one after the other, the last one again and again.
type passes struct {
	fakeService
	results  []service.PassResult
	made     int
	snapshot source.Snapshot
}

func (p *passes) Load([]string) (source.Snapshot, error) { return p.snapshot, nil }

func (p *passes) Reconcile(context.Context, source.Snapshot, pass.Options, func(execute.Progress)) (service.PassResult, error) {
	p.made++
	return p.results[min(p.made, len(p.results))-1], nil
}

// agentIs is the outcome of a pass over a bottle with an agent.
func agentIs(engineState, phase string, code int, failed error) service.PassResult {
	agent := apitest.Component(state.Agent, engineState, 0)
	b := apitest.Bottle("a", "Ready", "")
	if agent.Phase = phase; phase != "" {
		agent.Ended, agent.Cause = &reconciler.Ending{ExitCode: code, At: apitest.Now}, "it ended"
		b = apitest.Bottle("a", phase, "")
	}
	b.Components = []reconciler.ComponentStatus{agent}
	r := pass.Result{Bottles: []reconciler.BottleStatus{b}, Plan: plan.Plan{Bottles: []plan.BottlePlan{{Slug: "a"}}}}
	if failed != nil {
		r.Failed = map[string]error{"a": failed}
	}
	return service.PassResult{Result: r}
}

func TestWaitCompleted(t *testing.T) {
	running, retried := agentIs("running", "", 0, nil), agentIs("exited", "", 0, errors.New("it ended with exit code 3"))
	for name, c := range map[string]struct {
		results []service.PassResult
		made    int
		code    int
		says    string
	}{
		"completes":         {results: []service.PassResult{running, running, running, agentIs("exited", "Completed", 0, nil)}, made: 4},
		"completed already": {results: []service.PassResult{agentIs("exited", "Completed", 0, nil)}, made: 1},
		"fails":             {results: []service.PassResult{running, retried, running, agentIs("exited", "Failed", 3, nil)}, made: 4, code: 3, says: "bottle a: the agent: it ended"},
		"never starts":      {results: []service.PassResult{agentIs("missing", "", 0, errors.New("no image"))}, made: 1, code: 1, says: "1 of 1 bottle not as declared"},
		"has no agent":      {results: []service.PassResult{{Result: pass.Result{Bottles: []reconciler.BottleStatus{apitest.Bottle("a", "Ready", "")}}}}, made: 1},
		"interrupted":       {results: []service.PassResult{running}, made: 11, code: 1, says: "interrupted: the agents have not all ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p, log := &passes{results: c.results}, zerolog.New(io.Discard)
				err := run(ctx, &Options{
					Streams: command.Streams{Out: terminal.OnWriter(&bytes.Buffer{}, false, false)}, Service: p, Log: &log, Once: true, WaitCompleted: true, Output: "table",
				})
				if exit.Code(err, false) != c.code || p.made != c.made || err != nil && exit.Message(err) != c.says {
					t.Errorf("%d passes, %v; want %d, exit code %d, %q", p.made, err, c.made, c.code, c.says)
				}
			})
		})
	}
}

// TestWaitForService refuses to wait for an agent that never completes.
func TestWaitForService(t *testing.T) {
	p, log := &passes{snapshot: source.Snapshot{Bottles: []v1alpha1.Bottle{{
		Metadata: v1alpha1.Metadata{Name: "web"}, Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Restart: v1alpha1.RestartAlways}},
	}}}}, zerolog.New(io.Discard)
	err := run(t.Context(), &Options{Service: p, Log: &log, Once: true, WaitCompleted: true, Output: "table"})
	if exit.Code(err, false) != exit.BadInput || !strings.Contains(err.Error(), "bottle web never completes") || p.made > 0 {
		t.Errorf("%v, %d passes", err, p.made)
	}
	for _, args := range []string{"dir --wait-completed", "dir --once --dry-run --wait-completed"} {
		if _, err := parse(t, args); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A single pass does not listen for what it makes.
func TestOnceSaysThatNothingListens(t *testing.T) {
	var logged bytes.Buffer
	log := zerolog.New(&logged)
	p := &passes{results: []service.PassResult{agentIs("running", "", 0, nil)}, snapshot: source.Snapshot{Bottles: []v1alpha1.Bottle{
		{Metadata: v1alpha1.Metadata{Name: "web"}, Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Ports: []v1alpha1.Port{{Container: 3000}}}}},
		{Metadata: v1alpha1.Metadata{Name: "other"}, Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{}}},
		{Metadata: v1alpha1.Metadata{Name: "none"}},
	}}}
	err := run(t.Context(), &Options{
		Streams: command.Streams{Out: terminal.OnWriter(&bytes.Buffer{}, false, false)}, Service: p, Log: &log, Once: true, Output: "table",
	})
	if said := logged.String(); err != nil || strings.Count(said, "nothing listens") != 1 || !strings.Contains(said, `"bottle":"web"`) {
		t.Errorf("%v, %s", err, said)
	}
}
