package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// tasks have every agent do something for a while and end.
type tasks struct {
	code  int           // exit code
	takes time.Duration // 1 s when unset
	again int           // how often the agent of bottle a is to be started again
}

// counter counts how often the agent of bottle a is started.
type counter struct {
	tasks

	mu     sync.Mutex
	starts int
}

// doTasks has the agents do such tasks from now on.
func (w *world) doTasks(t tasks) *counter {
	w.tasks = t.code == 0
	done := &counter{tasks: t}
	if done.takes == 0 {
		done.takes = time.Second
	}
	w.programOfContainer = func(c state.Container, p *fake.Program) {
		if c.Labels[state.LabelRole] == string(state.Agent) {
			done.mu.Lock()
			defer done.mu.Unlock()
			done.starts++
			p.EndsAfter, p.ExitCode = done.takes, done.code
		}
	}
	return done
}

// small is a bottle with an agent and pipelock only.
func small(slug string) v1alpha1.Bottle {
	b := full(slug)
	b.Spec.Supervise, b.Spec.CredProxy = false, nil
	return b
}

func (d *counter) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.starts
}

// check returns an error unless the task of bottle a was done as often as it should be, also after a restart of the controller.
func (d *counter) check(w *world) error {
	w.run(nil)
	w.pass(time.Minute)
	if n := d.count(); n != 1+d.again {
		return fmt.Errorf("the agent was started %d times, want %d", n, 1+d.again)
	}
	return nil
}

// breakRuns makes what is known of the runs of a bottle's agent unreadable.
func (w *world) breakRuns(slug string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.settings.BottleDir(slug), state.RunsFile), []byte("{"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// agentIs checks the phase of the agent of bottle a, its bottle's reason and condition, and how often the agent was started.
func (w *world) agentIs(when string, d *counter, phase string, code, starts int) {
	w.t.Helper()
	reason, condition := reconciler.ReasonCompleted, reconciler.ConditionCompleted
	if phase == reconciler.PhaseFailed {
		reason, condition = reconciler.ReasonAgentFailed, reconciler.ConditionFailed
	}
	s, _ := w.status("a")
	agent := s.Agent()
	if agent == nil || agent.Phase != phase || agent.Ended == nil || agent.Ended.ExitCode != code || agent.Ended.At.IsZero() || agent.Ready {
		w.t.Errorf("%s: the agent is %+v, want %s with exit code %d", when, agent, phase, code)
	}
	if s.Reason != reason || !s.IsTrue(condition) || s.Ready || s.Healthy() != (code == 0) || s.IsTrue(reconciler.ConditionStalled) != (code != 0) {
		w.t.Errorf("%s: the bottle is %+v, want %s", when, s, reason)
	}
	if n := d.count(); n != starts {
		w.t.Errorf("%s: the agent was started %d times, want %d", when, n, starts)
	}
}

// TestTaskCompletes runs a task once, whatever happens, until somebody asks for more.
func TestTaskCompletes(t *testing.T) {
	simulate(t, func(w *world) {
		d := w.doTasks(tasks{})
		w.declare(full("a"))
		w.run(nil)
		w.pass(time.Hour)
		w.agentIs("after an hour", d, reconciler.PhaseCompleted, 0, 1)
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		agent := name(state.Agent, "a")
		for when, do := range map[string]func(){
			"after a restart of the controller": func() { w.run(nil) },
			"after a sync":                      func() { w.controller.Sync(false) },
			"after a heal of a sidecar":         func() { must(w.hands.Remove(name(state.Pipelock, "a"))) },
			"after a change of the allowlist": func() {
				w.edit(func(b *v1alpha1.Bottle) { b.Spec.Egress.Allowlist = v1alpha1.Allow("example.org") })
			},
			"after a cut":                       func() { w.order(reconciler.OrderCut, "") },
			"after a resume":                    func() { w.order(reconciler.OrderResume, "") },
			"disconnected":                      func() { must(w.hands.Disconnect(agent, prefix+"-net-a")) },
			"after the engine was gone a while": func() { w.engine.SetDown(true); w.pass(time.Minute); w.engine.SetDown(false) },
		} {
			do()
			w.pass(10 * time.Minute)
			w.agentIs(when, d, reconciler.PhaseCompleted, 0, 1)
		}
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = true })
		w.pass(time.Minute)
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = false })
		w.pass(time.Minute)
		w.agentIs("suspended and resumed", d, reconciler.PhaseCompleted, 0, 1)
		must(w.hands.Remove(agent)) // docker container prune
		w.pass(10 * time.Minute)
		w.run(nil)
		w.pass(10 * time.Minute)
		w.agentIs("its container pruned", d, reconciler.PhaseCompleted, 0, 1)
		w.order(reconciler.OrderRestart, state.Agent)
		w.pass(time.Minute)
		w.agentIs("restarted", d, reconciler.PhaseCompleted, 0, 2)
		w.order(reconciler.OrderRestart, "")
		w.pass(time.Minute)
		w.agentIs("restarted with its bottle", d, reconciler.PhaseCompleted, 0, 3)
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent = agentOf(agent2) })
		w.pass(time.Minute)
		w.agentIs("declared otherwise", d, reconciler.PhaseCompleted, 0, 4)
	})
}

// TestShortTask ends before it could be seen to run. That is no failure.
func TestShortTask(t *testing.T) {
	for _, code := range []int{0, 1} {
		simulate(t, func(w *world) {
			d := w.doTasks(tasks{code: code, takes: time.Millisecond})
			task := full("a")
			task.Spec.Agent.Restart = v1alpha1.RestartNever
			w.declare(task)
			w.run(nil)
			w.pass(time.Minute)
			w.agentIs("after a minute", d, map[int]string{0: reconciler.PhaseCompleted, 1: reconciler.PhaseFailed}[code], code, 1)
			for _, e := range w.controller.Events("a", 0) {
				if e.Reason == reconciler.EventFailed || e.Reason == reconciler.EventCrashed {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

// TestTaskFails retries a task that fails, with a backoff, as often as its limit says, over restarts of the controller, too.
func TestTaskFails(t *testing.T) {
	for _, takes := range []time.Duration{time.Millisecond, 2 * time.Minute} {
		simulate(t, func(w *world) {
			d := w.doTasks(tasks{code: 3, takes: takes})
			task := full("a")
			task.Spec.Agent.BackoffLimit = new(int64(3))
			w.declare(task)
			w.run(nil)
			w.pass(takes + 200*time.Millisecond)
			w.run(nil)
			w.pass(time.Hour)
			w.agentIs("after an hour", d, reconciler.PhaseFailed, 3, 4)
			w.run(nil)
			w.pass(time.Hour)
			w.agentIs("after a restart of the controller", d, reconciler.PhaseFailed, 3, 4)
			w.order(reconciler.OrderRestart, state.Agent)
			w.pass(time.Hour)
			w.agentIs("restarted", d, reconciler.PhaseFailed, 3, 8)
			w.edit(func(b *v1alpha1.Bottle) {
				agent := *b.Spec.Agent
				agent.BackoffLimit = new(int64(5))
				b.Spec.Agent = &agent
			})
			w.pass(time.Hour)
			w.agentIs("with a higher limit", d, reconciler.PhaseFailed, 3, 10)
		})
	}
}

// TestEndsFromOutside are retried without being counted: a reboot a week is no failing task.
func TestEndsFromOutside(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		for range 2 * v1alpha1.DefaultBackoffLimit {
			if err := w.hands.Stop(name(state.Agent, "a")); err != nil {
				t.Fatal(err)
			}
			w.pass(10 * time.Minute)
		}
		if s, _ := w.status("a"); !s.Ready || s.Agent().Phase != reconciler.PhaseRunning {
			t.Errorf("%+v", s)
		}
	})
}

// TestInterruptedTask starts a task again that bottled itself stopped, though its exit code is 0, and takes its own end for what it is.
func TestInterruptedTask(t *testing.T) {
	simulate(t, func(w *world) {
		d := w.doTasks(tasks{takes: time.Hour})
		w.declare(full("a"))
		w.run(nil)
		w.pass(time.Minute)
		for starts, interrupt := range []func(){
			1: func() {
				w.order(reconciler.OrderSuspend, "")
				w.pass(time.Minute)
				w.run(nil)
				w.pass(time.Minute)
				w.order(reconciler.OrderResume, "")
			},
			2: func() { w.order(reconciler.OrderRestart, "") },
		} {
			if interrupt == nil {
				continue
			}
			interrupt()
			w.pass(time.Minute)
			if s, _ := w.status("a"); !s.Ready || d.count() != starts+1 {
				t.Errorf("%d starts, %+v", d.count(), s)
			}
		}
		w.pass(2 * time.Hour)
		w.agentIs("in the end", d, reconciler.PhaseCompleted, 0, 3)
	})
}

// TestRunsThatCantBeRead leave a bottle as it is: nobody knows whether its agent may be started.
func TestRunsThatCantBeRead(t *testing.T) {
	simulate(t, func(w *world) {
		d := w.doTasks(tasks{code: 3})
		w.declare(full("a"))
		w.run(nil)
		w.pass(1300 * time.Millisecond)
		w.breakRuns("a")
		w.pass(time.Minute)
		n := d.count()
		w.pass(time.Hour)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonFailed || !strings.Contains(s.Message, "runs.json") || d.count() != n {
			t.Errorf("%d starts, then %d: %+v", n, d.count(), s)
		}
	})
}
