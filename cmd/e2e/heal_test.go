package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// wellWithin is generous: the machines that tests run on are busy. How long it takes is measured by the benchmarks.
const wellWithin = 30 * time.Second

// ownWork is how long a controller's own work leads to more passes: an engine's events come before its listings show the change.
const ownWork = 2 * time.Second

// owned are the IDs of the Env's containers, or of some of them, by filters of docker ps.
func owned(e *harness.Env, filters ...string) string {
	return e.Docker(append([]string{"ps", "-aq", "--no-trunc", "--filter", "label=" + state.LabelOwner + "=" + e.Owner}, filters...)...)
}

// settledReady waits until a running controller says of bottles that they are ready and nothing is under way.
func settledReady(t *testing.T, e *harness.Env, slugs ...string) {
	t.Helper()
	for _, slug := range slugs {
		bottleIs(t, e, slug, "ready", func(b reconciler.BottleStatus) bool {
			return b.Ready && conditionOf(b, reconciler.ConditionReconciling) == "False" && b.Generation == b.ObservedGeneration
		})
	}
}

// bottleIs waits until what a running controller says of a bottle holds, and returns it.
func bottleIs(t *testing.T, e *harness.Env, slug, what string, holds func(b reconciler.BottleStatus) bool) (b reconciler.BottleStatus) {
	t.Helper()
	e.Eventually(wellWithin, "bottle "+slug+" is "+what, func() (bool, string) {
		var known bool
		b, known = e.Bottle(slug)
		return known && holds(b), fmt.Sprintf("%+v", b)
	})
	return b
}

func conditionOf(b reconciler.BottleStatus, kind string) string {
	for _, c := range b.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return "none"
}

// asDeclared waits until a deep plan, made by another process, finds nothing to do.
func asDeclared(t *testing.T, e *harness.Env) time.Duration {
	t.Helper()
	return e.Eventually(wellWithin, "everything is as declared", func() (bool, string) {
		r := e.Bottled("plan", "--deep", e.Manifests)
		return r.Code == exitDone, r.Stdout + r.Stderr
	})
}

// TestControllerHeals interferes as a person with the docker CLI would, and as a crash does, with one bottle of two. Each
// time that one must be as declared again, and the other one must not be touched.
func TestControllerHeals(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Write("two.yaml", small("two"))
	c := e.Controller("--resync", "1h").Ready() // what is healed is healed for the events
	settledReady(t, e, "one", "two")
	agent, pipelock, credProxy := e.Name(state.Agent, "one"), e.Name(state.Pipelock, "one"), e.Name(state.CredProxy, "one")
	others := func() string { return owned(e, "--filter", "label="+state.LabelSlug+"=two") }
	before := others()
	for _, s := range []struct {
		name      string
		interfere func()
	}{
		{"paused", func() { e.Docker("pause", pipelock) }},
		{"crashed", func() { crash(t, e, credProxy) }},
		{"connected to the way out", func() { e.Docker("network", "connect", e.Network("egress", "one"), agent) }},
	} {
		t.Run(s.name, func(t *testing.T) {
			e := e.In(t)
			s.interfere()
			took := asDeclared(t, e)
			settledReady(t, e, "one")
			if out, code := e.Agent("one", "dial", "pipelock:8888", "cred-proxy:9099", "supervise:9100"); code != 0 {
				t.Errorf("the agent does not reach its sidecars:\n%s", out)
			}
			t.Logf("as declared after %s", took)
		})
	}
	if others() != before {
		t.Error("the other bottle's containers changed")
	}
	for _, line := range c.Log() {
		if line.Bottle == "two" && line.Reason != "" && !strings.Contains(line.Reason, "missing") && !strings.Contains(line.Reason, "does not have") {
			t.Errorf("the other bottle was worked on: %v", line.Raw)
		}
	}
	if found, repaired := e.Metric("bottled_drift_found_total", nil), e.Metric("bottled_drift_repaired_total", nil); found == 0 || repaired == 0 {
		t.Errorf("drift found: %v, repaired: %v", found, repaired)
	}
}

// TestControllerIsQuietWhenNothingHappens: no line in the log, and no call to the engine but the audit log's reads of the three
// sidecars, which get rarer (every second at first, every 30 s in the end). The engine's events about such reads wake nobody.
func TestControllerIsQuietWhenNothingHappens(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	proxy := e.Proxy()
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	harness.Elapse(ownWork)
	lines := c.LogText()
	proxy.Reset(nil)
	const seconds = 3
	harness.Elapse(seconds * time.Second)
	calls := proxy.Calls()
	others := slices.DeleteFunc(slices.Clone(calls), func(call string) bool { return call == "GET /containers/ID/logs" })
	if reads := len(calls) - len(others); len(others) > 0 || reads > 3*seconds {
		t.Errorf("calls to the engine: %v", calls)
	}
	if now := c.LogText(); now != lines {
		t.Errorf("logged:\n%s", strings.TrimPrefix(now, lines))
	}
}

// crash kills a container's program behind the engine's back, and returns when the engine knows: until then all looks well.
func crash(t *testing.T, e *harness.Env, container string) {
	t.Helper()
	pid := func() string { return e.Docker("inspect", "-f", "{{.State.Pid}}", container) }
	killed := pid()
	sendSignal(t, killed, syscall.SIGKILL)
	e.Eventually(wellWithin, "the engine notices a death", func() (bool, string) {
		now := pid()
		return now != killed, now
	})
}

// TestCrashLoop has an agent that can't start: status shows its last words, and a new declaration is tried at once.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("useless.yaml", strings.Replace(small("useless"), "[agent]", `[no-such-command]`, 1))
	e.Controller("--resync", "1h").Ready()
	b := bottleIs(t, e, "useless", "stalled", func(b reconciler.BottleStatus) bool {
		return b.Reason == reconciler.ReasonCrashing && conditionOf(b, reconciler.ConditionStalled) == "True"
	})
	if !strings.Contains(b.Message, "its last log lines") || !strings.Contains(b.Message, "no-such-command") {
		t.Errorf("the last log lines are missing: %s", b.Message)
	}
	if b.Components[1].Restarts < 2 {
		t.Errorf("%d restarts", b.Components[1].Restarts)
	}
	if r := e.Expect(exitDone, "status"); !strings.Contains(r.Stdout, reconciler.ReasonCrashing) {
		t.Errorf("status:\n%s", r.Stdout)
	}
	e.Write("useless.yaml", small("useless"))
	settledReady(t, e, "useless")
}

// TestRestartOfTheController leaves the bottles running, and takes them up again; a second signal is not needed.
func TestRestartOfTheController(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	manager, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", filepath.Join(filepath.Dir(e.RunDir), "notify"))
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	e.Extra = append(e.Extra, "NOTIFY_SOCKET="+manager.LocalAddr().String())
	notified := func(want string) {
		t.Helper()
		got := make([]byte, 100)
		if err := manager.SetReadDeadline(time.Now().Add(wellWithin)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := manager.ReadFrom(got); err != nil || string(got[:n]) != want {
			t.Fatalf("systemd gets %q, want %q (%v)", got[:n], want, err)
		}
	}
	c := e.Controller().Ready()
	notified("READY=1")
	settledReady(t, e, "one")
	pipelock := owned(e, "--filter", "name="+e.Name(state.Pipelock, "one"))
	if r := e.Expect(exitFailed, "reconcile", "--once", e.Manifests); !strings.Contains(r.Stderr, "another bottled is at work") {
		t.Errorf("a pass beside the controller: %s", r.Stderr)
	}
	if r := c.Stop(); r.Code != exitDone {
		t.Errorf("exit code %d after SIGTERM:\n%s", r.Code, r.Stderr)
	}
	notified("STOPPING=1")
	if _, err := os.Stat(e.Socket()); err == nil {
		t.Error("the socket is left")
	}
	if b := status(t, e)["one"]; !b.Ready {
		t.Errorf("without a controller: %+v", b)
	}
	e.Docker("rm", "-f", e.Name(state.Agent, "one"))
	c = e.Controller().Ready()
	settledReady(t, e, "one")
	if now := owned(e, "--filter", "name="+e.Name(state.Pipelock, "one")); now != pipelock || pipelock == "" {
		t.Errorf("pipelock is %s, was %s", now, pipelock)
	}
	// Killed, it leaves nothing that keeps the next one from working.
	c.Signal(syscall.SIGKILL)
	c.Wait(10 * time.Second)
	e.Controller().Ready()
	settledReady(t, e, "one")
}

// TestTermInTheMiddle ends a controller while it makes bottles: no container is left that was not started, and the next
// controller goes on. A second signal does not wait for anything.
func TestTermInTheMiddle(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	slugs := []string{"b0", "b1", "b2"}
	for _, slug := range slugs {
		e.Write(slug+".yaml", small(slug))
	}
	c := e.Controller()
	e.Eventually(wellWithin, "work is under way", func() (bool, string) { return c.LogCount(`"message":"create"`) > 0, c.LogText() })
	if r := c.Stop(); r.Code != exitDone {
		t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
	}
	if left := owned(e, "--filter", "status=created"); left != "" {
		t.Errorf("created and not started: %s", left)
	}
	c = e.Controller().Ready()
	settledReady(t, e, slugs...)
	// An agent that ignores SIGTERM gives the second signal time to come.
	pid := e.Docker("inspect", "-f", "{{.State.Pid}}", e.Name(state.Agent, "b0"))
	sendSignal(t, pid, syscall.SIGSTOP)
	defer sendSignal(t, pid, syscall.SIGKILL)
	e.Write("b0.yaml", small("b0")+"  suspend: true\n")
	bottleIs(t, e, "b0", "being stopped", func(b reconciler.BottleStatus) bool {
		return conditionOf(b, reconciler.ConditionReconciling) == "True"
	})
	c.Signal(syscall.SIGTERM)
	if _, ended := c.Wait(time.Second); ended {
		t.Error("it does not finish the step in hand")
	}
	c.Signal(syscall.SIGTERM)
	if _, ended := c.Wait(5 * time.Second); !ended {
		t.Error("it does not quit after the second signal")
	}
}

// sendSignal sends a signal to a process of a container, past the engine.
func sendSignal(t *testing.T, pid string, s syscall.Signal) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err == nil && n > 1 {
		err = syscall.Kill(n, s)
	}
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// TestInterrupted: a newer manifest ends the wait for an older one, and one slow bottle delays no other.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Extra = append(e.Extra, "BOTTLED_TIMEOUT=10m", "BOTTLED_PARALLEL=1")
	e.Write("slow.yaml", small("slow"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "slow")
	// Frozen, the sidecar can't say that it serves the new configuration.
	pid := e.Docker("inspect", "-f", "{{.State.Pid}}", e.Name(state.Pipelock, "slow"))
	sendSignal(t, pid, syscall.SIGSTOP)
	defer sendSignal(t, pid, syscall.SIGCONT)
	waits := func(b reconciler.BottleStatus) bool {
		return conditionOf(b, reconciler.ConditionReconciling) == "True" && b.Generation != b.ObservedGeneration
	}
	e.Write("slow.yaml", small("slow")+"  egress: {allowlist: [first.example]}\n")
	bottleIs(t, e, "slow", "waiting for the first declaration", waits)
	e.Write("other.yaml", small("other"))
	settledReady(t, e, "other")
	if b, _ := e.Bottle("slow"); !waits(b) {
		t.Fatalf("it does not wait any more: %+v", b)
	}
	e.Write("slow.yaml", small("slow")+"  egress: {allowlist: [second.example]}\n")
	e.Eventually(wellWithin, "the second declaration is taken up", func() (bool, string) {
		data, err := os.ReadFile(filepath.Join(e.StateDir, "bottles", "slow", "pipelock", "pipelock.yaml"))
		return err == nil && strings.Contains(string(data), "second.example"), string(data)
	})
	sendSignal(t, pid, syscall.SIGCONT)
	settledReady(t, e, "slow")
}

// TestSuspendAndTeardown stops a bottle by its manifest and starts it again, the same containers; at its end the controller
// removes it.
func TestSuspendAndTeardown(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	c := e.Controller("--resync", "1h", "--teardown-on-exit").Ready()
	settledReady(t, e, "one")
	ids := owned(e)
	running := func() string { return owned(e, "--filter", "status=running") }
	e.Write("one.yaml", small("one")+"  suspend: true\n")
	bottleIs(t, e, "one", "suspended", func(b reconciler.BottleStatus) bool {
		return b.Reason == reconciler.ReasonSuspend && conditionOf(b, reconciler.ConditionReconciling) == "False"
	})
	if left := running(); left != "" {
		t.Errorf("still running: %s", left)
	}
	e.Docker("start", e.Name(state.Agent, "one"))
	e.Eventually(wellWithin, "what somebody started is stopped", func() (bool, string) { now := running(); return now == "", now })
	e.Write("one.yaml", small("one"))
	settledReady(t, e, "one")
	if now := owned(e); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
	if r := c.Stop(); r.Code != exitDone {
		t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
	}
	if left := owned(e); left != "" {
		t.Errorf("left: %s", left)
	}
}
