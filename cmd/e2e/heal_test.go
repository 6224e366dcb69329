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

// settledReady waits until a running controller says of a bottle that it is ready and nothing is under way.
func settledReady(t *testing.T, e *harness.Env, slug string) {
	t.Helper()
	e.Eventually(wellWithin, "bottle "+slug+" is ready", func() (bool, string) {
		b, ok := e.Bottle(slug)
		return ok && b.Ready && conditionOf(b, reconciler.ConditionReconciling) == "False" && b.Generation == b.ObservedGeneration, fmt.Sprintf("%+v", b)
	})
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
	e := newWhole(t, "one", "two")
	c := e.Controller("--resync", "1h").Ready() // what is healed is healed for the events
	settledReady(t, e, "one")
	settledReady(t, e, "two")
	agent, pipelock, credProxy := e.Name(state.Agent, "one"), e.Name(state.Pipelock, "one"), e.Name(state.CredProxy, "one")
	egress := e.Network("egress", "one")
	passes := func() string {
		return e.Docker("ps", "-aq", "--no-trunc", "--filter", "label="+state.LabelSlug+"=two", "--filter", "label="+state.LabelOwner+"="+e.Owner)
	}
	other := passes()
	for _, s := range []struct {
		name      string
		interfere func()
	}{
		{"paused", func() { e.Docker("pause", pipelock) }},
		{"crashed", func() { crash(t, e, credProxy) }},
		{"connected to the way out", func() { e.Docker("network", "connect", egress, agent) }},
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
	if passes() != other {
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
// sidecars, which get rarer (every second at first, every 30 s in the end).
func TestControllerIsQuietWhenNothingHappens(t *testing.T) {
	e := newWhole(t, "one")
	proxy := e.Proxy()
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	time.Sleep(3 * time.Second) // what its own work led to
	lines := c.LogText()
	proxy.Reset(nil)
	time.Sleep(5 * time.Second)
	calls := proxy.Calls()
	others := slices.DeleteFunc(slices.Clone(calls), func(call string) bool { return call == "GET /containers/ID/logs" })
	if reads := len(calls) - len(others); len(others) > 0 || reads > 3*3 {
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

// TestCrashLoop has one agent that can't start, and one that crashes again and again.
func TestCrashLoop(t *testing.T) {
	e := harness.New(t)
	e.Write("useless.yaml", strings.Replace(small("useless"), "[agent]", `[no-such-command]`, 1))
	e.Write("fragile.yaml", small("fragile"))
	c := e.Controller("--resync", "1h").Ready()
	crashing := func(slug, stalled string) (b reconciler.BottleStatus) {
		t.Helper()
		e.Eventually(time.Minute, slug+" crashes again and again", func() (bool, string) {
			b, _ = e.Bottle(slug)
			return b.Reason == reconciler.ReasonCrashing && conditionOf(b, reconciler.ConditionStalled) == stalled, fmt.Sprintf("%+v", b)
		})
		return b
	}
	for n := range hopelessAt {
		e.Eventually(time.Minute, "fragile runs again", func() (bool, string) {
			b, _ := e.Bottle("fragile")
			return b.Ready && b.Components[1].Restarts == n, fmt.Sprintf("%+v", b)
		})
		crash(t, e, e.Name(state.Agent, "fragile"))
		if n > 0 {
			crashing("fragile", map[bool]string{false: "False", true: "True"}[n == hopelessAt-1])
		}
	}
	b := crashing("useless", "True")
	if !strings.Contains(b.Message, "its last log lines") || !strings.Contains(b.Message, "no-such-command") {
		t.Errorf("the last log lines are not told: %s", b.Message)
	}
	if b.Components[1].Restarts < 2 {
		t.Errorf("%d restarts are told", b.Components[1].Restarts)
	}
	if r := e.Expect(exitDone, "status"); !strings.Contains(r.Stdout, reconciler.ReasonCrashing) {
		t.Errorf("status:\n%s", r.Stdout)
	}
	starts := c.LogCount(`"useless"`)
	time.Sleep(2 * time.Second)
	if more := c.LogCount(`"useless"`) - starts; more > 2 {
		t.Errorf("%d lines in two seconds: there is no backoff", more)
	}
	// A new declaration is tried at once.
	e.Write("useless.yaml", small("useless"))
	settledReady(t, e, "useless")
}

// hopelessAt is after how many crashes in a row a bottle counts as stalled.
const hopelessAt = 3

// TestRestartOfTheController leaves the bottles running, and takes them up again; a second signal is not needed.
func TestRestartOfTheController(t *testing.T) {
	e := newWhole(t, "one")
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
			t.Fatalf("systemd is told %q, want %q (%v)", got[:n], want, err)
		}
	}
	c := e.Controller().Ready()
	notified("READY=1")
	settledReady(t, e, "one")
	ids := e.Docker("ps", "-q", "--filter", "label="+state.LabelOwner+"="+e.Owner)
	if r := e.Expect(exitFailed, "reconcile", "--once", e.Manifests); !strings.Contains(r.Stderr, "another bottled of owner") {
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
	e.Docker("rm", "-f", e.Name(state.Supervise, "one"))
	c = e.Controller().Ready()
	settledReady(t, e, "one")
	for _, id := range strings.Fields(ids) {
		if r := e.Docker("ps", "-aq", "--filter", "id="+id); r == "" && id != "" {
			ids = strings.Replace(ids, id, "", 1)
		}
	}
	if n := len(strings.Fields(ids)); n != 3 {
		t.Errorf("%d of the three other containers are still there", n)
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
	e := harness.New(t)
	for i := range 6 {
		slug := fmt.Sprintf("b%d", i)
		e.Write(slug+".yaml", small(slug))
	}
	c := e.Controller()
	e.Eventually(wellWithin, "work is under way", func() (bool, string) { return c.LogCount(`"message":"create"`) > 0, c.LogText() })
	if r := c.Stop(); r.Code != exitDone {
		t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
	}
	if left := e.Docker("ps", "-aq", "--filter", "label="+state.LabelOwner+"="+e.Owner, "--filter", "status=created"); left != "" {
		t.Errorf("created and not started: %s", left)
	}
	c = e.Controller().Ready()
	for i := range 6 {
		settledReady(t, e, fmt.Sprintf("b%d", i))
	}
	// An agent that ignores SIGTERM gives the second signal time to come.
	pid := e.Docker("inspect", "-f", "{{.State.Pid}}", e.Name(state.Agent, "b0"))
	sendSignal(t, pid, syscall.SIGSTOP)
	defer sendSignal(t, pid, syscall.SIGKILL)
	e.Write("b0.yaml", small("b0")+"  suspend: true\n")
	e.Eventually(wellWithin, "the agent is being stopped", func() (bool, string) {
		b, _ := e.Bottle("b0")
		return conditionOf(b, reconciler.ConditionReconciling) == "True", fmt.Sprintf("%+v", b)
	})
	c.Signal(syscall.SIGTERM)
	if _, ended := c.Wait(time.Second); ended {
		t.Error("it does not finish the step in hand")
	}
	c.Signal(syscall.SIGTERM)
	if _, ended := c.Wait(5 * time.Second); !ended {
		t.Error("it does not quit when told twice")
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

// TestTeardownOnExit removes what the controller kept, and nothing else.
func TestTeardownOnExit(t *testing.T) {
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	c := e.Controller("--teardown-on-exit").Ready()
	settledReady(t, e, "a")
	if r := c.Stop(); r.Code != exitDone {
		t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
	}
	if left := e.Docker("ps", "-aq", "--filter", "label="+state.LabelOwner+"="+e.Owner); left != "" {
		t.Errorf("left: %s", left)
	}
}

// TestInterrupted: a newer manifest ends the wait for an older one, and one slow bottle delays no other.
func TestInterrupted(t *testing.T) {
	e := harness.New(t)
	e.Extra = append(e.Extra, "BOTTLED_TIMEOUT=10m", "BOTTLED_PARALLEL=1")
	e.Write("slow.yaml", small("slow"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "slow")
	// Frozen, the sidecar can't say that it serves the new configuration.
	pid := e.Docker("inspect", "-f", "{{.State.Pid}}", e.Name(state.Pipelock, "slow"))
	sendSignal(t, pid, syscall.SIGSTOP)
	defer sendSignal(t, pid, syscall.SIGCONT)
	e.Write("slow.yaml", small("slow")+"  egress: {allowlist: [first.example]}\n")
	e.Eventually(wellWithin, "it waits for the first declaration", func() (bool, string) {
		b, _ := e.Bottle("slow")
		return conditionOf(b, reconciler.ConditionReconciling) == "True" && b.Generation != b.ObservedGeneration, fmt.Sprintf("%+v", b)
	})
	e.Write("other.yaml", small("other"))
	settledReady(t, e, "other")
	if b, _ := e.Bottle("slow"); conditionOf(b, reconciler.ConditionReconciling) != "True" {
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

// TestSuspendAndResume stops a bottle by its manifest and starts it again: the same containers, in order.
func TestSuspendAndResume(t *testing.T) {
	e := newWhole(t, "one")
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	ids := e.Docker("ps", "-aq", "--filter", "label="+state.LabelOwner+"="+e.Owner)
	e.Write("one.yaml", whole("one")+"  suspend: true\n")
	e.Eventually(wellWithin, "the bottle is suspended", func() (bool, string) {
		b, _ := e.Bottle("one")
		return b.Reason == reconciler.ReasonSuspend && conditionOf(b, reconciler.ConditionReconciling) == "False", fmt.Sprintf("%+v", b)
	})
	if running := e.Docker("ps", "-q", "--filter", "label="+state.LabelOwner+"="+e.Owner); running != "" {
		t.Errorf("still running: %s", running)
	}
	e.Docker("start", e.Name(state.Agent, "one"))
	e.Eventually(wellWithin, "what somebody started is stopped", func() (bool, string) {
		running := e.Docker("ps", "-q", "--filter", "label="+state.LabelOwner+"="+e.Owner)
		return running == "", running
	})
	e.Write("one.yaml", whole("one"))
	settledReady(t, e, "one")
	if now := e.Docker("ps", "-aq", "--filter", "label="+state.LabelOwner+"="+e.Owner); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
}
