package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// task is a manifest of a bottle whose agent does something for a while and ends with a code.
func task(slug, takes string, code int, more string) string {
	return strings.Replace(small(slug), "[agent]", fmt.Sprintf(`[agent, --task, %s, --code, "%d"]%s`, takes, code, more), 1)
}

// runs counts how often an agent's container was started, by what each run logs.
func runs(e *harness.Env, slug string) int {
	return strings.Count(e.Docker("logs", e.Name(state.Agent, slug)), "the agent is at work")
}

// TestTask runs agents that end: once, or as often as their manifest says, whatever happens to the controller and the sidecars.
func TestTask(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("done.yaml", task("done", "1s", 0, ""))
	e.Write("short.yaml", task("short", "1ms", 0, ", restart: never"))
	e.Write("fails.yaml", task("fails", "700ms", 7, ", backoffLimit: 1"))
	c := e.Controller("--resync", "1h").Ready()
	if r := e.Expect(exitDone, "wait", "done", "short", "--for", "completed"); r.Stdout != "done: Completed with exit code 0\nshort: Completed with exit code 0\n" {
		t.Errorf("wait: %s", r.Stdout)
	}
	if r := e.Expect(7, "wait", "fails", "--for", "completed"); !strings.Contains(r.Stderr, "bottle fails: the agent: it failed with exit code 7") {
		t.Errorf("wait: %s", r.Stderr)
	}
	expect := func(when string, want map[string]int) {
		t.Helper()
		for slug, n := range want {
			b := bottleIs(t, e, slug, "settled", func(b reconciler.BottleStatus) bool {
				return b.Agent() != nil && b.Agent().Ended != nil && conditionOf(b, reconciler.ConditionReconciling) == "False"
			})
			if got := runs(e, slug); got != n {
				t.Errorf("%s: the agent of %s ran %d times, want %d: %+v", when, slug, got, n, b)
			}
		}
	}
	expect("at first", map[string]int{"done": 1, "short": 1, "fails": 2})
	c.Stop()
	e.Docker("rm", "-f", e.Name(state.Pipelock, "done"))
	e.Controller("--resync", "1h").Ready()
	e.Expect(exitFailed, "sync") // one has failed
	expect("after a restart of the controller", map[string]int{"done": 1, "short": 1, "fails": 2})
	if r := e.Expect(exitDone, "status", "done"); !strings.Contains(r.Stdout, "Completed (exit code 0, ") {
		t.Errorf("status:\n%s", r.Stdout)
	}
	e.Expect(exitDone, "restart", "done/agent")
	e.Expect(exitDone, "wait", "done", "--for", "completed")
	expect("restarted", map[string]int{"done": 2})
	e.Write("done.yaml", task("done", "1s", 3, ", restart: never"))
	e.Eventually(wellWithin, "the changed task fails", func() (bool, string) {
		r := e.Bottled("wait", "done", "--for", "completed")
		return r.Code == 3, r.Stdout + r.Stderr
	})
}

// TestOnceWaitsForTasks makes passes until the agents have ended, and ends as the first that failed.
func TestOnceWaitsForTasks(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("a.yaml", task("a", "1s", 0, ""))
	e.Write("b.yaml", task("b", "1s", 9, ", backoffLimit: 1"))
	r := e.Expect(9, "reconcile", "--once", "--wait-completed", e.Manifests)
	if !strings.Contains(r.Stderr, "bottle b: the agent: it failed with exit code 9") || runs(e, "a") != 1 || runs(e, "b") != 2 {
		t.Errorf("a ran %d times, b %d times: %s", runs(e, "a"), runs(e, "b"), r.Stderr)
	}
	e.Expect(exitDone, "wait", "a", "--for", "completed")
}

// TestStoppedAgentGoesOn: an agent that bottled stopped is started again, though its exit code may be 0.
func TestStoppedAgentGoesOn(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	for _, order := range []string{"suspend", "resume", "restart"} {
		e.Expect(exitDone, order, "one")
	}
	e.Expect(exitDone, "wait", "one")
	if n := runs(e, "one"); n != 3 {
		t.Errorf("the agent was started %d times", n)
	}
}
