package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

func changing(call string) bool {
	return !strings.HasPrefix(call, "GET ") && !strings.HasPrefix(call, "HEAD ")
}

// objects are the names of the Env's containers, networks and volumes.
func objects(e *harness.Env) []string {
	filter := "label=" + state.LabelOwner + "=" + e.Owner
	return slices.Sorted(slices.Values(strings.Fields(e.Docker("ps", "-a", "--filter", filter, "--format", "{{.Names}}") + "\n" +
		e.Docker("network", "ls", "--filter", filter, "--format", "{{.Name}}") + "\n" + strings.Join(volumes(e), "\n"))))
}

// TestKilledAtEveryCall kills bottled just after, and in another round just before, calls that change the engine: the next pass must
// converge and leave nothing over. The same for a removal. By day it is one call of a pass and one of a removal: the matrix of all calls
// and faults runs on the engine in memory (reconciler/sim).
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	const volume = "volumes: [{name: home, target: /home/agent, retain: false}]"
	e.Write("one.yaml", strings.Replace(small("one"), "[agent]", "[agent], "+volume, 1))
	outcomes := []harness.Outcome{harness.LoseBack}
	if nightly() {
		outcomes = append(outcomes, harness.Refuse)
		e.Write("token", testToken)
		e.Write("one.yaml", strings.Replace(whole("one"), "[agent]\n", "[agent]\n    "+volume+"\n", 1))
	}
	proxy := e.Proxy()
	e.Reconcile(exitDone)
	want := objects(e)
	e.Expect(exitDone, "delete", "--all")

	for _, outcome := range outcomes {
		for _, action := range [][]string{{"reconcile", "--once", e.Manifests}, {"delete", "--all"}} {
			kills := 0
			for n := 1; n < 200; n++ {
				if n != 3 && !nightly() {
					continue
				}
				if !killAt(t, e, proxy, n, outcome, action...) {
					break
				}
				kills++
				proxy.Reset(nil)
				e.Reconcile(exitDone)
				if got := objects(e); !slices.Equal(got, want) {
					t.Fatalf("killed at change %d of %v: the next pass leaves %v, want %v", n, action, got, want)
				}
				if action[0] == "reconcile" {
					e.Expect(exitDone, "delete", "--all")
					if left := objects(e); len(left) > 0 {
						t.Fatalf("killed at change %d: a removal after the next pass leaves %v", n, left)
					}
				}
			}
			if kills < 1 || nightly() && kills < 6 {
				t.Errorf("%v was killed %d times only: the test does not reach its calls", action, kills)
			}
			proxy.Reset(nil)
			e.Reconcile(exitDone)
			if action[0] == "delete" {
				e.Expect(exitDone, "delete", "--all")
			}
		}
	}
}

// killAt runs bottled and kills it at its n-th changing call; false when it makes fewer.
func killAt(t *testing.T, e *harness.Env, proxy *harness.Proxy, n int, outcome harness.Outcome, args ...string) bool {
	t.Helper()
	cmd := e.Command(args...)
	started := make(chan *exec.Cmd, 1)
	var changes atomic.Int64
	var killed atomic.Bool
	proxy.Reset(func(_ int, call string) harness.Outcome {
		if !changing(call) {
			return harness.Pass
		}
		if changes.Add(1) != int64(n) {
			return harness.Pass
		}
		running := <-started
		killed.Store(true)
		_ = running.Process.Kill()
		return outcome
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started <- cmd
	_ = cmd.Wait()
	return killed.Load()
}

// TestTermFinishesTheStepInHand interrupts a pass: it ends by itself, says so, and begins nothing more.
func TestTermFinishesTheStepInHand(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", small("one"))
	proxy := e.Proxy()
	cmd := e.Command("reconcile", "--once", e.Manifests)
	var stdout strings.Builder
	cmd.Stdout = &stdout
	started := make(chan *exec.Cmd, 1)
	var starts atomic.Int64
	proxy.Reset(func(_ int, call string) harness.Outcome {
		if strings.HasSuffix(call, "/start") && starts.Add(1) == 1 {
			running := <-started
			_ = running.Process.Signal(syscall.SIGTERM)
			harness.Elapse(200 * time.Millisecond) // it arrives while the call is under way
		}
		return harness.Pass
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started <- cmd
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailed || starts.Load() != 1 {
		t.Errorf("exit code %d after %d starts\n%s", cmd.ProcessState.ExitCode(), starts.Load(), stdout.String())
	}
	if got := e.Docker("inspect", "-f", "{{.State.Running}}", e.Name(state.Pipelock, "one")); got != "true" {
		t.Errorf("the step in hand was not finished: pipelock is running: %s", got)
	}
	proxy.Reset(nil)
	// A SIGHUP ends a pipelock that does not handle it yet, and a pass sends one to a sidecar that has reported nothing.
	e.Eventually(wellWithin, "pipelock serves", func() (bool, string) {
		r := e.Bottled("exec", "one/pipelock", "--", "/bottled", "sidecar", "pipelock", "healthcheck")
		return r.Code == exitDone, r.Stderr
	})
	e.Reconcile(exitDone)
}
