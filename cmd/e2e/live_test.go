package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// streaming is a session of the agent's with an event stream that goes on for longer than the test.
func streaming(t *testing.T, e *harness.Env, url string) *talk {
	t.Helper()
	c := onPipes(t, e, "exec", "one", "--", "/bottled-demo", "fetch", "--timeout", "3m", url+"?seconds=180")
	c.says("data:")
	return c
}

// flows waits until more events arrive.
func (c *talk) flows(e *harness.Env) {
	c.t.Helper()
	events := func() int { return strings.Count(c.out.String(), "data:") }
	before := events()
	e.Eventually(wellWithin, "the stream goes on", func() (bool, string) { return events() > before, c.out.String() + c.errOut.String() })
}

// TestLiveReload changes an allowlist, the routes and a token while streams go through pipelock and cred-proxy: the same
// containers serve the new configuration, say so, and no stream breaks but that of a route that is removed.
func TestLiveReload(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	token := prepareCerts(t, e)
	e.Write("one.yaml", trafficManifest(e, "docs.demo.example"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	startUpstream(t, e)
	ids := owned(e)
	streams := []*talk{streaming(t, e, "http://docs.demo.example/stream"), streaming(t, e, "http://cred-proxy:9099/api/stream")}

	if out, _ := e.Agent("one", "fetch", "http://new.demo.example/"); !strings.Contains(out, "403") {
		t.Errorf("the new host is not refused yet:\n%s", out)
	}
	before := trafficManifest(e, "docs.demo.example, new.demo.example")
	reloaded(t, e, state.Pipelock, before)
	if out, _ := e.Agent("one", "fetch", "http://new.demo.example/"); strings.Contains(out, "403") {
		t.Errorf("the new host is refused:\n%s", out)
	}
	reloaded(t, e, state.CredProxy,
		strings.Replace(before, "    routes:\n", "    routes:\n      - {path: /other/, upstream: https://api.demo.example, token: {file: ./certs/token}}\n", 1))
	whoami := func(token string) (bool, string) {
		out, _ := e.Agent("one", "fetch", "http://cred-proxy:9099/other/whoami")
		return strings.Contains(out, "Bearer "+token), out
	}
	if ok, out := whoami(token); !ok {
		t.Errorf("the upstream saw:\n%s", out)
	}
	// Kubernetes and careful people replace a secret's file.
	next := e.Write("certs/next", "rotated-token-5e1f")
	if err := os.Rename(next, filepath.Join(e.Manifests, "certs", "token")); err != nil {
		t.Fatal(err)
	}
	took := e.Eventually(wellWithin, "the rotated token is used", func() (bool, string) { return whoami("rotated-token-5e1f") })
	t.Logf("another token: used after %s", took)
	revoked := streaming(t, e, "http://cred-proxy:9099/other/stream")
	reloaded(t, e, state.CredProxy, before)
	revoked.ends(1)
	for _, stream := range streams {
		stream.flows(e)
	}
	if now := owned(e); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
	// What can't be reloaded replaces that component, and no other one.
	pipelock := "name=" + e.Name(state.Pipelock, "one")
	old := owned(e, "--filter", pipelock)
	e.Write("one.yaml", strings.Replace(before, "privateCIDRs: ["+e.Pool+"]", "privateCIDRs: ["+e.Pool+", 192.168.77.0/24]", 1))
	e.Eventually(wellWithin, "pipelock is replaced", func() (bool, string) {
		now := owned(e, "--filter", pipelock)
		return now != "" && now != old, now
	})
	settledReady(t, e, "one")
	for id := range strings.FieldsSeq(ids) {
		if id != old && !strings.Contains(owned(e), id) {
			t.Errorf("container %s was replaced, too", id)
		}
	}
}

// reloaded writes the manifest of bottle one and waits until a component serves another configuration.
func reloaded(t *testing.T, e *harness.Env, component state.ComponentName, manifest string) {
	t.Helper()
	digest := func(b reconciler.BottleStatus) string {
		i := slices.IndexFunc(b.Components, func(c reconciler.ComponentStatus) bool { return c.Component == component })
		return b.Components[i].Config
	}
	b, _ := e.Bottle("one")
	before := digest(b)
	e.Write("one.yaml", manifest)
	bottleIs(t, e, "one", "reloaded", func(b reconciler.BottleStatus) bool {
		return digest(b) != before && b.Ready && conditionOf(b, reconciler.ConditionReconciling) == "False"
	})
}

// TestDeclarations edits the directory under a running controller as people and their tools do.
func TestDeclarations(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	e.Write("b.yaml", small("b"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "a", "b")

	// Nonsense in one file: the other bottle goes on, this one is healed as it was declared last.
	e.Write("a.yaml", small("a")+"  sidecars: true\n")
	bottleIs(t, e, "a", "invalid", func(b reconciler.BottleStatus) bool {
		return b.Reason == reconciler.ReasonInvalid && strings.Contains(fmt.Sprint(e.Status().Controller.Problems), "a.yaml:6:3")
	})
	e.Docker("rm", "-f", e.Name(state.Pipelock, "a"))
	bottleIs(t, e, "a", "healed", func(b reconciler.BottleStatus) bool {
		return len(b.Components) == 2 && b.Components[0].Ready && b.Components[0].State == "running"
	})
	e.Write("b.yaml", strings.Replace(small("b"), "spec:\n", "spec:\n  supervise: true\n", 1))
	bottleIs(t, e, "b", "supervised", func(b reconciler.BottleStatus) bool { return len(b.Components) == 3 && b.Ready })
	if r := e.Expect(exitFailed, "sync", "--timeout", "20s"); !strings.Contains(r.Stderr, "a.yaml:6:3") {
		t.Errorf("sync says: %s", r.Stderr)
	}
	e.Write("a.yaml", small("a"))
	settledReady(t, e, "a")

	// One manifest removed: its bottle goes. All removed: that looks like an accident.
	if err := os.Remove(filepath.Join(e.Manifests, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	e.Eventually(wellWithin, "bottle b is removed", func() (bool, string) {
		_, known := e.Bottle("b")
		left := owned(e, "--filter", "label="+state.LabelSlug+"=b")
		return !known && left == "", left
	})
	if err := errors.Join(os.RemoveAll(e.Manifests), os.Mkdir(e.Manifests, 0o755)); err != nil {
		t.Fatal(err)
	}
	bottleIs(t, e, "a", "held", func(b reconciler.BottleStatus) bool { return b.Reason == reconciler.ReasonHeld })
	if r := e.Bottled("status"); !strings.Contains(r.Stdout, "prune") {
		t.Errorf("status does not say how to go on:\n%s", r.Stdout)
	}
	e.Expect(exitDone, "sync", "--prune-held")
	if left := owned(e); left != "" {
		t.Errorf("left: %s", left)
	}
	// A manifest dropped into the new directory, in a new folder.
	e.Write("team/z.yaml", small("z"))
	settledReady(t, e, "z")
}

// TestStatusOfAController reads what the controller tells, in every way in which it does.
func TestStatusOfAController(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	c := e.Controller("--resync", "1h", "--listen", "127.0.0.1:0").Ready()
	settledReady(t, e, "a")
	var live reconciler.Status
	r := e.Expect(exitDone, "status", "-o", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &live); err != nil || live.Controller == nil || live.Controller.PID != c.PID() {
		t.Fatalf("status asks somebody else: %v\n%s", err, r.Stdout)
	}
	if r := e.Expect(exitDone, "sync"); !strings.Contains(r.Stdout, "in sync: 1 bottle") {
		t.Errorf("sync: %s", r.Stdout)
	}
	syncs := e.Status().Controller.Syncs
	c.Signal(hangup)
	e.Eventually(wellWithin, "SIGHUP has everything looked at", func() (bool, string) {
		now := e.Status().Controller.Syncs
		return now > syncs, fmt.Sprint(now)
	})
	for name, labels := range map[string]map[string]string{
		"bottled_queue_depth": nil, "bottled_passes_total": {"outcome": "done"}, "bottled_pass_seconds": {"changed": "true"},
		"bottled_change_to_ready_seconds": nil, "bottled_engine_calls_total": {"verb": "create_container"}, "bottled_resyncs_total": nil,
		"bottled_bottles": {"condition": "Ready", "status": "True"}, "bottled_engine_up": nil,
	} {
		if v := e.Metric(name, labels); v < 1 && name != "bottled_queue_depth" || v != v {
			t.Errorf("metric %s%v is %v", name, labels, v)
		}
	}
	watch := onPipes(t, e, "status", "--watch", "-o", "json")
	watch.says(`"reason":"Ready"`)
	e.Docker("rm", "-f", e.Name(state.Agent, "a"))
	watch.says(`"reason":"NotReady"`)
	watch.signal(os.Interrupt)
	watch.ends(exitDone)
}
