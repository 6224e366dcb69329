package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

const goneLine = "the engine does not answer"

// engineSeen waits until the controller says whether the engine answers.
func engineSeen(t *testing.T, e *harness.Env, reachable bool) {
	t.Helper()
	e.Eventually(time.Minute, fmt.Sprintf("engine reachable: %v", reachable), func() (bool, string) {
		live := e.Status()
		return live.Controller.Engine.Reachable == reachable, fmt.Sprintf("%+v", live.Controller)
	})
}

// TestEngineGone stops the engine under the controller, freezes it and boots the host anew. Each time the controller says so
// once, concludes nothing, and takes up where it was.
func TestEngineGone(t *testing.T) {
	t.Parallel()
	engine := harness.PrivateEngine(t)
	e := harness.New(t)
	e.On(engine)
	e.Write("one.yaml", small("one"))
	e.Write("two.yaml", small("two"))
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one", "two")

	engine.Stop() // its socket goes, too
	engineSeen(t, e, false)
	for _, b := range e.Status().Bottles {
		if b.Ready || conditionOf(b, reconciler.ConditionReady) != "Unknown" || b.Reason != reconciler.ReasonUnreachable {
			t.Errorf("without an engine: %+v", b)
		}
	}
	if r := e.Expect(exitDone, "status"); !strings.Contains(r.Stdout, "engine") || !strings.Contains(r.Stdout, reconciler.ReasonUnreachable) {
		t.Errorf("status:\n%s", r.Stdout)
	}
	e.Write("three.yaml", small("three"))
	if err := os.Remove(filepath.Join(e.Manifests, "two.yaml")); err != nil {
		t.Fatal(err)
	}
	engine.Start()
	engineSeen(t, e, true)
	settledReady(t, e, "one", "three")
	e.Eventually(wellWithin, "the removed bottle goes", func() (bool, string) {
		left := owned(e, "--filter", "label="+state.LabelSlug+"=two")
		return left == "", left
	})
	if n := c.LogCount(goneLine); n != 1 {
		t.Errorf("said %d times that the engine is gone", n)
	}

	engine.Freeze()
	e.Write("four.yaml", small("four"))
	harness.Elapse(time.Second) // in which calls to the frozen engine begin
	engine.Thaw()
	settledReady(t, e, "four")
	if n := c.LogCount(goneLine); n > 2 {
		t.Errorf("said %d times that the engine is gone", n)
	}
	c.Stop()
	hostBoots(t, e, engine, "one", "three", "four")
}

// hostBoots: nothing runs, what was on a tmpfs is lost, and the engine is there later than the controller.
func hostBoots(t *testing.T, e *harness.Env, engine *harness.Engine, slugs ...string) {
	t.Helper()
	engine.Stop()
	if err := os.RemoveAll(e.RunDir); err != nil {
		t.Fatal(err)
	}
	c := e.Controller()
	e.Eventually(wellWithin, "the missing engine is logged", func() (bool, string) { return c.LogCount(goneLine) == 1, c.LogText() })
	engine.Start()
	c.Ready()
	settledReady(t, e, slugs...)
	asDeclared(t, e)
	if n := c.LogCount(goneLine); n != 1 {
		t.Errorf("said %d times that the engine is gone", n)
	}
}
