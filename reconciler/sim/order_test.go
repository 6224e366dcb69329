package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// order gives an order for bottle a, as an operator who asks again while the engine refuses. A controller that crashed is run anew.
func (w *world) order(order reconciler.Order, component state.ComponentName) {
	w.t.Helper()
	var err error
	for range 5 {
		if err = w.controller.Order(w.t.Context(), "anna", "a", order, component); err == nil {
			return
		}
		<-time.After(time.Second)
	}
	w.run(nil)
	w.pass(5 * time.Second)
	if again := w.controller.Order(w.t.Context(), "anna", "a", order, component); again != nil {
		w.t.Errorf("%s: %v, and %v after a restart", order, err, again)
	}
}

// networksOf returns the networks of a component of bottle a.
func (w *world) networksOf(component state.ComponentName) (networks []string) {
	w.t.Helper()
	all, err := w.engine.Containers(w.t.Context(), owner, "a")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range all {
		if c.Component() == component {
			for _, e := range c.Endpoints {
				networks = append(networks, e.Network)
			}
		}
	}
	slices.Sort(networks)
	return networks
}

// isCut returns an error unless bottle a runs without a way out.
func (w *world) isCut() error {
	for _, c := range []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Agent} {
		if got := w.networksOf(c); !slices.Equal(got, []string{prefix + "-net-a"}) {
			return fmt.Errorf("%s is on %v", c, got)
		}
	}
	if s, _ := w.status("a"); !s.Cut || !s.IsTrue(reconciler.ConditionCut) || !s.Ready {
		return fmt.Errorf("status: %+v", s)
	}
	return nil
}

// isRestarted returns an error unless every container of bottle a is in its second run.
func (w *world) isRestarted() error {
	all, err := w.engine.Containers(w.t.Context(), owner, "a")
	if err != nil {
		return err
	}
	for _, c := range all {
		detail, err := w.engine.Inspect(w.t.Context(), c.ID)
		if err != nil {
			return err
		}
		if c.State != engine.StateRunning || detail.EndedAt.IsZero() {
			return fmt.Errorf("%s is %s, and ended at %s", c.Name, c.State, detail.EndedAt)
		}
	}
	return nil
}

// orderAndWait gives an order, and waits as a command does: until the bottle is not reconciling any more.
func (w *world) orderAndWait(order reconciler.Order, component state.ComponentName) reconciler.BottleStatus {
	w.t.Helper()
	if err := w.controller.Order(w.t.Context(), "anna", "a", order, component); err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(time.Millisecond) {
		if s, _ := w.status("a"); !s.IsTrue(reconciler.ConditionReconciling) {
			return s
		}
	}
	w.t.Fatalf("no end of %s", order)
	return reconciler.BottleStatus{}
}

// TestCut takes the sidecars off the egress network until it is undone: over a restart of the controller, a change of the manifest,
// and an invalid one.
func TestCut(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"))
		w.run(nil)
		w.settle(10 * time.Second)
		before := w.containersOf("a") + w.containersOf("b")
		w.orderAndWait(reconciler.OrderCut, "")
		check := func(when string) {
			t.Helper()
			if err := w.isCut(); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			if after := w.containersOf("a") + w.containersOf("b"); after != before {
				t.Errorf("%s: containers were replaced: %s, before %s", when, after, before)
			}
		}
		check("cut")
		w.run(nil)
		w.settle(10 * time.Second)
		check("after a restart of the controller")
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.org") })
		w.settle(10 * time.Second)
		check("after a change of the manifest")
		w.orderAndWait(reconciler.OrderResume, "")
		if got := w.networksOf(state.Pipelock); !slices.Equal(got, []string{prefix + "-egress-a", prefix + "-net-a"}) {
			t.Errorf("resumed, and pipelock is on %v", got)
		}
		w.settle(10 * time.Second)
		if s, _ := w.status("a"); s.Cut || s.Condition(reconciler.ConditionCut) != nil {
			t.Errorf("%+v", s)
		}
	})
}

// TestCutOfWhatIsKept: a bottle that is left as it is, for its manifest is invalid or gone, can be cut off.
func TestCutOfWhatIsKept(t *testing.T) {
	for name, do := range map[string]func(w *world){
		"invalid": func(w *world) {
			w.source.change(func(map[string]v1alpha1.Bottle) { w.source.broken = map[string]string{"a": "it is broken"} })
		},
		"held": func(w *world) { w.withdraw("a") },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.declare(full("a"))
				w.run(nil)
				w.settle(10 * time.Second)
				do(w)
				w.pass(time.Minute)
				w.end()
				if err := os.Remove(filepath.Join(w.settings.BottleDir("a"), state.RecordFile)); err != nil { // nothing to fall back on
					w.t.Fatal(err)
				}
				w.run(nil)
				w.pass(time.Minute)
				w.orderAndWait(reconciler.OrderCut, "")
				s, _ := w.status("a")
				if s.Generation != 0 {
					t.Errorf("it has a declaration: %+v", s)
				}
				if got := w.networksOf(state.Pipelock); !slices.Equal(got, []string{prefix + "-net-a"}) || !s.IsTrue(reconciler.ConditionCut) {
					t.Errorf("pipelock is on %v: %+v", got, s)
				}
			})
		})
	}
}

// TestRestart ends the present runs once, in order, and keeps the containers.
func TestRestart(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"))
		w.run(nil)
		w.settle(10 * time.Second)
		before := w.containersOf("a") + w.containersOf("b")
		w.said.reset()
		w.orderAndWait(reconciler.OrderRestart, state.CredProxy)
		said := w.said.String()
		if strings.Count(said, "stop p-") != 2 || strings.Count(said, "start p-") != 2 || !strings.Contains(said, "start p-cred-proxy-a (its restart was requested)") {
			t.Errorf("one component:\n%s", said)
		}
		if strings.Contains(said, "reload") { // it is ready when it reports in its new run, and not by a report of the one before
			t.Errorf("it was signalled while it started:\n%s", said)
		}
		w.said.reset()
		w.orderAndWait(reconciler.OrderRestart, "")
		w.run(nil)
		w.settle(10 * time.Second)
		w.pass(10 * time.Minute)
		if err := w.isRestarted(); err != nil {
			t.Error(err)
		}
		last := -1
		for _, step := range []string{"stop p-agent-a", "stop p-supervise-a", "stop p-cred-proxy-a", "stop p-pipelock-a", "start p-pipelock-a", "start p-cred-proxy-a", "start p-supervise-a", "start p-agent-a"} {
			at := strings.Index(w.said.String(), step)
			if at < last || strings.Count(w.said.String(), step) != 2 { // its begin and its end
				t.Errorf("%s is missing, too late or done again:\n%s", step, w.said.String())
			}
			last = at
		}
		if after := w.containersOf("a") + w.containersOf("b"); after != before {
			t.Errorf("containers were replaced: %s, before %s", after, before)
		}
		if s, _ := w.status("a"); !s.Ready {
			t.Errorf("%+v", s)
		}
	})
}

// TestSuspendedByOperator stops a bottle until it is resumed or its manifest changes, also when the old manifest comes back later.
func TestSuspendedByOperator(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		before := w.containersOf("a")
		want := func(when, reason string) {
			t.Helper()
			if s, _ := w.status("a"); s.Reason != reason || w.containersOf("a") != before {
				t.Errorf("%s: %+v", when, s)
			}
		}
		w.orderAndWait(reconciler.OrderSuspend, "")
		want("suspended", reconciler.ReasonSuspend)
		w.run(nil)
		w.pass(time.Minute)
		want("after a restart of the controller", reconciler.ReasonSuspend)
		w.orderAndWait(reconciler.OrderResume, "")
		want("resumed", reconciler.ReasonReady)
		if s, _ := w.status("a"); s.Restarts() != 0 {
			t.Errorf("resumed components count as restarted: %+v", s.Components)
		}
		w.orderAndWait(reconciler.OrderSuspend, "")
		for _, allowlist := range [][]string{{"example.org"}, {"example.com"}} {
			w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow(allowlist...) })
			w.settle(time.Minute)
			want(fmt.Sprintf("with allowlist %v", allowlist), reconciler.ReasonReady)
		}
	})
}

// TestRefusedOrders changes nothing, and says why.
func TestRefusedOrders(t *testing.T) {
	simulate(t, func(w *world) {
		noAgent := full("a")
		noAgent.Spec.Agent = nil
		w.declare(noAgent)
		w.run(nil)
		w.settle(10 * time.Second)
		w.said.reset()
		for says, give := range map[string]func() error{
			`there is no bottle "x"`: func() error { return w.controller.Order(w.t.Context(), "anna", "x", reconciler.OrderCut, "") },
			"has no agent": func() error {
				return w.controller.Order(w.t.Context(), "anna", "a", reconciler.OrderRestart, state.Agent)
			},
			`unknown order "explode"`: func() error { return w.controller.Order(w.t.Context(), "anna", "a", "explode", "") },
		} {
			if err := give(); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want %q", err, says)
			}
		}
		w.pass(time.Minute)
		if said := w.said.String(); said != "" {
			t.Errorf("the log says:\n%s", said)
		}
		w.withdraw("a")
		w.pass(time.Minute)
		if err := w.controller.Order(w.t.Context(), "anna", "a", reconciler.OrderSuspend, ""); err == nil || !strings.Contains(err.Error(), "no declaration") {
			t.Errorf("a bottle that is kept: %v", err)
		}
	})
}
