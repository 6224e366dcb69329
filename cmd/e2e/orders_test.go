package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// startedAt returns when a bottle's containers were started last, by their IDs.
func startedAt(t *testing.T, e *harness.Env) map[string]string {
	t.Helper()
	started := map[string]string{}
	for _, c := range []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Agent} {
		id, at, _ := strings.Cut(e.Docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}} {{.State.Running}}", e.Name(c, "one")), " ")
		if !strings.HasSuffix(at, "true") {
			t.Errorf("%s does not run", c)
		}
		started[id] = at
	}
	return started
}

// TestCut shows from inside an agent, and from a sidecar that was taken over, that nothing gets out of a bottle that is cut off, until
// it is resumed: whatever happens to the controller.
func TestCut(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	token := prepareCerts(t, e)
	e.Write("one.yaml", trafficManifest(e, "docs.demo.example"))
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	startUpstream(t, e)
	gets := func(when string, want bool) {
		t.Helper()
		for _, url := range []string{"http://docs.demo.example/", "http://cred-proxy:9099/api/whoami"} {
			if out, code := e.Agent("one", "fetch", "--timeout", "3s", url); (code == 0) != want {
				t.Errorf("%s: %s ends with %d, %s", when, url, code, strings.ReplaceAll(out, token, "TOKEN"))
			}
		}
	}
	gets("at first", true)
	before := startedAt(t, e)
	began := time.Now()
	r := e.Expect(exitDone, "cut", "one")
	t.Logf("cut off %s after the command began: %s", time.Since(began).Round(time.Millisecond), r.Stdout)
	gets("cut off", false)
	if networks := e.Docker("inspect", "-f", "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", e.Name(state.Pipelock, "one")); networks != e.Network("net", "one") {
		t.Errorf("pipelock is on %s", networks)
	}
	c.Signal(syscall.SIGKILL)
	if _, ended := c.Wait(10 * time.Second); !ended {
		t.Fatal("the controller was not killed")
	}
	e.Controller("--resync", "1h").Ready()
	if r := e.Expect(exitFailed, "sync"); !strings.Contains(r.Stderr, "one: cut off by an operator") {
		t.Errorf("sync does not say so: %s", r.Stderr)
	}
	gets("after a kill of the controller", false)
	if out := e.Expect(exitDone, "status", "one").Stdout; !strings.Contains(out, "cut off") {
		t.Errorf("status does not say so:\n%s", out)
	}
	e.Expect(exitDone, "resume", "one")
	gets("resumed", true)
	for id, at := range startedAt(t, e) {
		if before[id] != at {
			t.Errorf("container %.12s was replaced or restarted", id)
		}
	}
}

// TestOrders restarts, suspends and resumes a bottle, and tells a session why it ends.
func TestOrders(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Write("other.yaml", small("other"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	before := startedAt(t, e)
	e.Expect(exitDone, "restart", "one/cred-proxy")
	e.Expect(exitDone, "restart", "one")
	for id, at := range startedAt(t, e) {
		if before[id] == "" || before[id] == at {
			t.Errorf("container %.12s was started at %s, before at %q", id, at, before[id])
		}
	}
	asDeclared(t, e)
	e.Expect(exitDone, "suspend", "one")
	if b, _ := e.Bottle("one"); b.Reason != reconciler.ReasonSuspend {
		t.Errorf("suspended: %+v", b)
	}
	if r := e.Expect(exitNoCommand, "run", "one", "--", "agent"); !strings.Contains(r.Stderr, "bottled resume one") {
		t.Errorf("a session of a suspended bottle: %s", r.Stderr)
	}
	e.Expect(exitDone, "resume", "one")
	if r := e.Expect(exitFailed, "cut", "none"); !strings.Contains(r.Stderr, `there is no bottle "none"`) {
		t.Errorf("no such bottle: %s", r.Stderr)
	}
	session, command := onPipes(t, e, "run", "one", "--", "agent"), onPipes(t, e, "exec", "one", "--", "/bottled-demo", "agent")
	e.Eventually(wellWithin, "the session runs", func() (bool, string) {
		id := sessions(e)
		return id != "", id
	})
	e.Eventually(wellWithin, "the command runs", func() (bool, string) {
		processes := e.Docker("top", e.Name(state.Agent, "one"))
		return strings.Count(processes, "agent") > 1, processes
	})
	if err := os.Remove(filepath.Join(e.Manifests, "one.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*talk{session, command} {
		<-c.ended
		if !strings.Contains(c.errOut.String(), "its manifest is gone") {
			t.Errorf("%v ends without a reason: %s", c.cmd.Args[1:], c.errOut)
		}
	}
}
