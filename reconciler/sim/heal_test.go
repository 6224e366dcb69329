package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// TestConverge creates bottles, changes and removes them.
func TestConverge(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"), full("c"))
		w.run(nil)
		w.settle(10 * time.Second)
		w.wantContainers(12)
		id, _ := w.hands.ID(name(state.Pipelock, "a"))
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.com", "example.org") })
		w.settle(10 * time.Second)
		if again, _ := w.hands.ID(name(state.Pipelock, "a")); again != id {
			t.Error("a longer allowlist replaced pipelock")
		}
		w.withdraw("c")
		w.settle(20 * time.Second)
		w.wantContainers(8)
	})
}

// drift is a difference that somebody makes to bottle a.
type drift struct {
	name string
	make func(w *world) error
	deep bool // no event and no listing shows it: a deep resync finds it
}

func drifts() []drift {
	agent, pipelock, credProxy, supervise := name(state.Agent, "a"), name(state.Pipelock, "a"), name(state.CredProxy, "a"), name(state.Supervise, "a")
	internal, egress := prefix+"-net-a", prefix+"-egress-a"
	remake := func(change func(*state.Container)) func(w *world) error {
		return func(w *world) error { return w.hands.Change(agent, change) }
	}
	all := []drift{
		{"restarted", func(w *world) error {
			return errors.Join(w.hands.Stop(credProxy), w.engine.StartContainer(w.t.Context(), credProxy, nil))
		}, false},
		{"egress for the agent", func(w *world) error { return w.hands.Connect(agent, egress) }, false},
		{"egress lost", func(w *world) error { return w.hands.Disconnect(pipelock, egress) }, false},
		{"internal lost", func(w *world) error { return w.hands.Disconnect(agent, internal) }, false},
		{"alias lost", func(w *world) error {
			return errors.Join(w.hands.Disconnect(supervise, internal), w.hands.Connect(supervise, internal))
		}, false},
		{"alias stolen", func(w *world) error {
			return errors.Join(w.hands.Disconnect(agent, internal), w.hands.Connect(agent, internal, "agent", "cred-proxy"))
		}, false},
		{"swap", func(w *world) error {
			return w.hands.Update(agent, state.Limits{Memory: 1 << 30, Swap: 1 << 30, Pids: 100})
		}, false},
		{"privileged", remake(func(c *state.Container) { c.Extras = []string{"Privileged=true"} }), true},
		{"capability", remake(func(c *state.Container) { c.CapAdd = []string{"NET_ADMIN"} }), true},
		{"system calls", remake(func(c *state.Container) { c.SecurityOpt = []string{"seccomp=unconfined"} }), true},
		{"other user", remake(func(c *state.Container) { c.User = "1234" }), true},
		{"host mount", remake(func(c *state.Container) { c.Mounts = append(c.Mounts, state.Mount{Source: "/etc", Target: "/host"}) }), true},
		{"other environment", remake(func(c *state.Container) { c.Env = map[string]string{"HTTPS_PROXY": "http://evil.example"} }), true},
		{"other command", remake(func(c *state.Container) { c.Command = []string{"sh"} }), true},
		{"network open", func(w *world) error {
			return w.hands.ChangeNetwork(internal, func(n *state.Network) { n.Internal = false })
		}, true},
		{"network with IPv6", func(w *world) error { return w.hands.ChangeNetwork(internal, func(n *state.Network) { n.IPv6 = true }) }, true},
		{"files changed", func(w *world) error {
			return w.hands.ChangeFile(w.settings.BottleDir("a")+"/pipelock", "pipelock.yaml", []byte("mode: off"))
		}, true},
		{"a file too many", func(w *world) error {
			return w.hands.ChangeFile(w.settings.BottleDir("a")+"/cred-proxy", "ca.pem", []byte("-- mine --"))
		}, true},
		{"directory removed", func(w *world) error { w.hands.RemoveDir(w.settings.BottleDir("a") + "/pipelock"); return nil }, true},
		{"image moved", func(w *world) error { w.engine.AddImage(agent1, engine.ImageDefaults{}); return nil }, true},
		{"killed for memory", func(w *world) error { return w.hands.OOM(agent) }, false},
		{"a second agent", func(w *world) error {
			return w.hands.Create(state.Container{
				Name: "second", Image: agent1, Networks: []state.Attachment{{Network: internal}},
				Labels: map[string]string{state.LabelOwner: owner, state.LabelSlug: "a", state.LabelRole: "agent", state.LabelStateDir: w.settings.StateDir},
			})
		}, false},
	}
	for _, i := range interferences {
		all = append(all, drift{i.name, func(w *world) error { return i.do(w, credProxy) }, false})
	}
	return append(all, wholeBottleDrifts(internal, egress, agent, supervise, credProxy, pipelock)...)
}

// wholeBottleDrifts are those of all containers of a bottle.
func wholeBottleDrifts(internal, egress string, containers ...string) []drift {
	return []drift{
		{"both networks removed", func(w *world) error {
			var failed []error
			for _, c := range containers {
				failed = append(failed, w.hands.Remove(c))
			}
			return errors.Join(append(failed, w.hands.RemoveNetwork(internal), w.hands.RemoveNetwork(egress))...)
		}, false},
		{"everything stopped", func(w *world) error {
			var failed []error
			for _, c := range containers {
				failed = append(failed, w.hands.Stop(c))
			}
			return errors.Join(failed...)
		}, false},
	}
}

// TestDriftIsRepaired repairs what somebody changed in one bottle, and leaves the other one alone.
func TestDriftIsRepaired(t *testing.T) {
	for _, d := range drifts() {
		t.Run(d.name, func(t *testing.T) {
			simulate(t, func(w *world) {
				other := full("b")
				other.Spec.Agent = agentOf(agent2)
				w.declare(full("a"), other)
				c := w.run(nil)
				w.settle(10 * time.Second)
				before := w.containersOf("b")
				if err := d.make(w); err != nil {
					t.Fatal(err)
				}
				if d.deep {
					c.Sync(false)
				}
				w.pass(shownWithin)
				w.settle(5 * time.Second)
				if after := w.containersOf("b"); after != before {
					t.Errorf("the other bottle was touched: %s, before %s", after, before)
				}
			})
		})
	}
}

// containersOf returns the names and IDs of a bottle's containers.
func (w *world) containersOf(slug string) string {
	w.t.Helper()
	all, err := w.engine.Containers(w.t.Context(), owner, slug)
	if err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	for _, c := range all {
		fmt.Fprintf(&text, "%s=%s ", c.Name, c.ID)
	}
	return text.String()
}

func (w *world) wantContainers(n int) {
	w.t.Helper()
	if got := w.hands.Names(); len(got) != n {
		w.t.Errorf("%d containers, want %d: %v", len(got), n, got)
	}
}

// TestCrashLoop starts a component that ends again and again less and less often, says so, and starts it at once when it is
// declared anew.
func TestCrashLoop(t *testing.T) {
	simulate(t, func(w *world) {
		var starts atomic.Int64
		crashes := true
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == state.Agent && crashes {
				starts.Add(1)
				p.EndsAfter, p.ExitCode = 2*time.Second, 3
			}
		}
		service := full("a")
		service.Spec.Agent.Restart = v1alpha1.RestartAlways
		w.declare(service)
		w.run(nil)
		w.pass(time.Hour)
		if n := starts.Load(); n < 10 || n > 25 { // 1, 2, 4 … 256 s, then every 5 minutes
			t.Errorf("%d starts in an hour", n)
		}
		s, _ := w.status("a")
		if s.Ready || s.Reason != reconciler.ReasonCrashing && s.Reason != reconciler.ReasonReady && s.Reason != reconciler.ReasonNotReady || !strings.Contains(w.said.String(), "exit code 3") {
			t.Errorf("status: %+v", s)
		}
		if stalled := s.Conditions[2]; stalled.Status != "True" {
			t.Errorf("condition: %+v", stalled)
		}
		crashes = false
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent = agentOf(agent2) })
		w.settle(5 * time.Second)
	})
}

// TestPruneGuard keeps bottles whose removal looks like an accident until somebody confirms it.
func TestPruneGuard(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"), full("c"))
		c := w.run(nil)
		w.settle(10 * time.Second)
		w.withdraw("a", "b", "c")
		w.pass(time.Minute)
		w.wantContainers(12)
		if s, ok := w.status("a"); !ok || s.Reason != reconciler.ReasonHeld || !strings.Contains(c.Status().Controller.HeldReason, "sync --prune-held") {
			t.Errorf("%+v, held because %s", s, c.Status().Controller.HeldReason)
		}
		c.Sync(true)
		w.settle(time.Minute)
		w.wantContainers(0)
	})
}

// TestSuspendAndResume stops a bottle and keeps its containers.
func TestSuspendAndResume(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		before := w.containersOf("a")
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = true })
		w.settle(10 * time.Second)
		if _, running := w.hands.ID(name(state.Agent, "a")); running {
			t.Error("a suspended agent runs")
		}
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = false })
		w.settle(10 * time.Second)
		if after := w.containersOf("a"); after != before {
			t.Errorf("containers were replaced: %s, before %s", after, before)
		}
		if s, _ := w.status("a"); s.Components[0].Restarts != 0 {
			t.Errorf("a resumed component counts as restarted: %+v", s.Components[0])
		}
	})
}

// TestNewerDeclarationInterrupts ends the wait for a component of an older declaration.
func TestNewerDeclarationInterrupts(t *testing.T) {
	simulate(t, func(w *world) {
		slow := true
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == state.CredProxy && slow {
				p.Boot = time.Hour
			}
		}
		w.declare(full("a"))
		w.run(nil)
		w.pass(10 * time.Second)
		if s, _ := w.status("a"); s.Ready {
			t.Fatal("it is ready without cred-proxy")
		}
		slow = false
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.CredProxy = nil })
		w.settle(5 * time.Second)
	})
}

// TestEngineGone leaves everything as it is while the engine does not answer, says so, and continues when it does.
func TestEngineGone(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		w.engine.SetDown(true)
		w.pass(time.Minute)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonUnreachable {
			t.Errorf("status: %+v", s)
		}
		if err := w.hands.Kill(name(state.Agent, "a")); err != nil {
			t.Fatal(err)
		}
		w.declare(full("b"))
		w.pass(time.Minute)
		w.engine.SetDown(false)
		w.settle(20 * time.Second)
	})
}

// TestInvalidManifestKeepsItsBottle continues with the last declaration, also across a restart of the controller.
func TestInvalidManifestKeepsItsBottle(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"))
		w.run(nil)
		w.settle(10 * time.Second)
		before := w.containersOf("a")
		w.source.change(func(map[string]v1alpha1.Bottle) { w.source.broken = map[string]string{"a": "it is broken"} })
		w.run(nil)
		w.pass(10 * time.Minute)
		if err := w.hands.Kill(name(state.Agent, "a")); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonInvalid || w.containersOf("a") != before {
			t.Errorf("%+v, containers %s, before %s", s, w.containersOf("a"), before)
		}
		if _, running := w.hands.ID(name(state.Agent, "a")); !running {
			t.Error("it is not kept running")
		}
		w.source.change(func(map[string]v1alpha1.Bottle) { w.source.broken = nil })
		w.settle(10 * time.Second)
	})
}

// TestNothingHappens makes no call to the engine but the resync's, once all is as declared.
func TestNothingHappens(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"))
		var calls atomic.Int64
		w.run(func(ctx context.Context, _ engine.Call, next func(context.Context) error) error {
			calls.Add(1)
			return next(ctx)
		})
		w.settle(10 * time.Second)
		w.pass(10 * time.Second)
		calls.Store(0)
		w.said.reset()
		w.pass(time.Hour)
		if n := calls.Load(); n > 14*5 { // containers, networks, volumes, images and files, every 4.5 to 5.5 minutes
			t.Errorf("%d calls in an hour", n)
		}
		if said := w.said.String(); said != "" {
			t.Errorf("the log says:\n%s", said)
		}
	})
}

// TestDirectoryReplacedUnderASidecar replaces a sidecar that mounts a directory in whose place another one is: no reload reaches it.
func TestDirectoryReplacedUnderASidecar(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		w.hands.ReplaceDir(w.settings.BottleDir("a") + "/pipelock")
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.com", "example.org") })
		w.settle(2 * time.Minute)
	})
}

// TestPoolIsFull makes the bottles for which there is room, and says why the others are not made.
func TestPoolIsFull(t *testing.T) {
	simulate(t, func(w *world) {
		w.settings.Pool = netip.MustParsePrefix("10.213.0.0/26") // two bottles
		w.declare(full("a"), full("b"), full("c"))
		w.run(nil)
		w.pass(time.Minute)
		w.wantContainers(8)
		said := w.said.String()
		if !strings.Contains(said, "is full") {
			t.Errorf("nothing says that the pool is full:\n%s", said)
		}
		ready := 0
		for _, b := range w.controller.Status().Bottles {
			if b.Ready {
				ready++
			}
		}
		if ready != 2 {
			t.Errorf("%d bottles are ready, want 2", ready)
		}
	})
}
