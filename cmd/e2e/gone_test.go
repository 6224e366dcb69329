package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

const (
	goneLine = "the engine does not answer"
	backLine = "the engine answers again"
)

// engineSeen waits until the controller says whether the engine answers.
func engineSeen(t *testing.T, e *harness.Env, reachable bool) {
	t.Helper()
	e.Eventually(time.Minute, fmt.Sprintf("engine reachable: %v", reachable), func() (bool, string) {
		live := e.Status()
		return live.Controller.Engine.Reachable == reachable, fmt.Sprintf("%+v", live.Controller)
	})
}

// TestEngineGone restarts the engine under the controller, stops it for longer, freezes it and boots the host anew. Each
// time the controller says so once, concludes nothing, and takes up where it was.
func TestEngineGone(t *testing.T) {
	t.Parallel()
	engine := harness.PrivateEngine(t)
	e := harness.New(t)
	e.On(engine)
	e.Write("one.yaml", small("one"))
	e.Write("two.yaml", small("two"))
	engine.Stop()
	c := e.Controller("--resync", "1h")
	e.Eventually(wellWithin, "the missing engine is told", func() (bool, string) { return c.LogCount(goneLine) == 1, c.LogText() })
	time.Sleep(2 * time.Second)
	engine.Start()
	c.Ready()
	settledReady(t, e, "one")
	settledReady(t, e, "two")
	if n := c.LogCount(goneLine); n != 1 {
		t.Errorf("said %d times that the engine is gone", n)
	}

	engine.Restart()
	e.Eventually(wellWithin, "the restart is noticed", func() (bool, string) { return c.LogCount(backLine) == 2, c.LogText() })
	asDeclared(t, e)
	settledReady(t, e, "one")
	settledReady(t, e, "two")

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
	if err := os.Remove(e.Manifests + "/two.yaml"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // longer than it takes to believe a removal
	engine.Start()
	engineSeen(t, e, true)
	settledReady(t, e, "one")
	settledReady(t, e, "three")
	e.Eventually(wellWithin, "the removed bottle goes", func() (bool, string) {
		left := e.Docker("ps", "-aq", "--filter", "label="+state.LabelSlug+"=two")
		return left == "", left
	})

	before := c.LogCount(goneLine)
	engine.Freeze()
	e.Write("four.yaml", small("four"))
	time.Sleep(2 * time.Second)
	engine.Thaw()
	settledReady(t, e, "four")
	if n := c.LogCount(goneLine) - before; n > 1 {
		t.Errorf("said %d times that the engine is gone", n)
	}

	// The host boots: nothing runs, and what was on a tmpfs is lost.
	c.Stop()
	engine.Stop()
	if err := os.RemoveAll(e.RunDir); err != nil {
		t.Fatal(err)
	}
	engine.Start()
	e.Controller().Ready()
	asDeclared(t, e)
	for _, slug := range []string{"one", "three", "four"} {
		settledReady(t, e, slug)
	}
}
