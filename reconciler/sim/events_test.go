package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// wantEvents checks that the events of bottle a contain these, in this order; each is given as its reason, its component and what
// its message contains.
func (w *world) wantEvents(after uint64, want ...[3]string) (last uint64) {
	w.t.Helper()
	events := w.controller.Events("a", after)
	for _, e := range events {
		if len(want) > 0 && e.Reason == want[0][0] && string(e.Component) == want[0][1] && strings.Contains(e.Message, want[0][2]) {
			want = want[1:]
		}
		last = e.ID
	}
	if len(want) > 0 {
		w.t.Errorf("no event %q among %+v", want[0], events)
	}
	return last
}

func TestEvents(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"))
		w.run(nil)
		w.settle(10 * time.Second)
		last := w.wantEvents(0, [3]string{"Declared", "", "generation 1"}, [3]string{"StepDone", "pipelock", "start p-pipelock-a: it is missing"},
			[3]string{"ConditionChanged", "", "Ready is True (Ready)"})
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.org") })
		w.settle(10 * time.Second)
		last = w.wantEvents(last, [3]string{"Declared", "", "generation 2"}, [3]string{"StepDone", "pipelock", "reload p-pipelock-a: its files changed"})
		if err := w.hands.Connect(name(state.Agent, "a"), prefix+"-egress-a"); err != nil {
			t.Fatal(err)
		}
		w.settle(10 * time.Second)
		last = w.wantEvents(last, [3]string{"DriftFound", "", "which is not declared"}, [3]string{"StepDone", "agent", "disconnect p-agent-a"})
		w.run(nil)
		w.settle(10 * time.Second)
		last = w.wantEvents(last, [3]string{"Declared", "", "generation 2"}) // IDs grow over the restart
		w.withdraw("a")
		w.settle(20 * time.Second)
		w.wantEvents(last, [3]string{"StepDone", "agent", "remove p-agent-a: its manifest is gone"}, [3]string{"Removed", "", ""})
	})
}

// TestRetryTime: what fails says when it is tried again.
func TestRetryTime(t *testing.T) {
	simulate(t, func(w *world) {
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == state.Agent {
				p.EndsAfter, p.ExitCode = time.Millisecond, 1
			}
		}
		w.declare(full("a"))
		w.run(nil)
		w.pass(5 * time.Second)
		s, _ := w.status("a")
		events := w.controller.Events("a", 0)
		for _, e := range events {
			if e.Reason == reconciler.EventFailed && e.Component == state.Agent && e.RetryAt.Equal(s.RetryAt) {
				return
			}
		}
		t.Errorf("the next try is at %s, and no event says so: %+v", s.RetryAt, events)
	})
}
