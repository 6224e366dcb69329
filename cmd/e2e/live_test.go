package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// TestLiveReload changes an allowlist, the routes and a token while streams go through pipelock and cred-proxy: the same
// containers serve the new configuration, say so, and no stream breaks but that of a route that is removed.
func TestLiveReload(t *testing.T) {
	e := harness.New(t)
	token := prepareCerts(t, e)
	manifest := trafficManifest(e, "docs.demo.example")
	e.Write("one.yaml", manifest)
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	startUpstream(t, e, "one")
	ids := containers(e)
	digest := func(part state.ComponentName) string {
		b, _ := e.Bottle("one")
		for _, p := range b.Components {
			if p.Component == part {
				return p.Config
			}
		}
		return ""
	}
	const seconds = 12
	streams := map[string]*exec.Cmd{}
	outputs := map[string]*strings.Builder{}
	for _, url := range []string{"http://docs.demo.example/stream", "http://cred-proxy:9099/api/stream"} {
		cmd := e.DockerCommand("exec", e.Name(state.Agent, "one"), "/bottled-demo", "fetch", "--timeout", "1m", fmt.Sprintf("%s?seconds=%d", url, seconds))
		outputs[url] = &strings.Builder{}
		cmd.Stdout, cmd.Stderr = outputs[url], outputs[url]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		streams[url] = cmd
	}
	began := time.Now()
	time.Sleep(time.Second)

	reload := func(what string, part state.ComponentName, change func()) {
		t.Helper()
		before := digest(part)
		change()
		took := e.Eventually(wellWithin, what+" is served", func() (bool, string) {
			b, _ := e.Bottle("one")
			return digest(part) != before && b.Ready && conditionOf(b, reconciler.ConditionReconciling) == "False", fmt.Sprintf("%+v", b)
		})
		t.Logf("%s: served after %s", what, took)
	}
	if out, _ := e.Agent("one", "fetch", "http://new.demo.example/"); !strings.Contains(out, "403") {
		t.Errorf("the new host is not refused yet:\n%s", out)
	}
	reload("another host", state.Pipelock, func() { e.Write("one.yaml", trafficManifest(e, "docs.demo.example, new.demo.example")) })
	if out, _ := e.Agent("one", "fetch", "http://new.demo.example/"); strings.Contains(out, "403") {
		t.Errorf("the new host is refused:\n%s", out)
	}
	before := trafficManifest(e, "docs.demo.example, new.demo.example")
	manifest = strings.Replace(before, "    routes:\n", "    routes:\n      - {path: /other/, upstream: https://api.demo.example, token: {file: ./certs/token}}\n", 1)
	reload("another route", state.CredProxy, func() { e.Write("one.yaml", manifest) })
	whoami := func() string {
		t.Helper()
		out, code := e.Agent("one", "fetch", "http://cred-proxy:9099/other/whoami")
		if code != 0 {
			t.Errorf("the route:\n%s", out)
		}
		return out
	}
	if out := whoami(); !strings.Contains(out, "Bearer "+token) {
		t.Errorf("the upstream saw:\n%s", out)
	}
	// Kubernetes and careful people replace a secret's file.
	next := filepath.Join(e.Manifests, "certs", "next")
	if err := os.WriteFile(next, []byte("rotated-token-5e1f"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(e.Manifests, "certs", "token")); err != nil {
		t.Fatal(err)
	}
	took := e.Eventually(wellWithin, "the rotated token is used", func() (bool, string) {
		out := whoami()
		return strings.Contains(out, "Bearer rotated-token-5e1f"), out
	})
	t.Logf("another token: used after %s", took)
	revoked := e.DockerCommand("exec", e.Name(state.Agent, "one"), "/bottled-demo", "fetch", "--timeout", "1m", "http://cred-proxy:9099/other/stream?seconds=60")
	if err := revoked.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	reload("a route less", state.CredProxy, func() { e.Write("one.yaml", before) })
	gone := time.Now()
	if err := revoked.Wait(); err == nil || time.Since(gone) > 5*time.Second {
		t.Errorf("the stream of a route that was removed ended %s later: %v", time.Since(gone), err)
	}
	if time.Since(began) > seconds*time.Second {
		t.Errorf("the streams ended before all was changed: this shows nothing about them")
	}
	for url, cmd := range streams {
		if err := cmd.Wait(); err != nil || strings.Count(outputs[url].String(), "data:") < 5*seconds-5 {
			t.Errorf("%s broke: %v\n%s", url, err, outputs[url])
		}
	}
	if now := containers(e); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
	// What can't be reloaded replaces that part, and no other one.
	e.Write("one.yaml", strings.Replace(before, "privateCIDRs: ["+e.Pool+"]", "privateCIDRs: ["+e.Pool+", 192.168.77.0/24]", 1))
	e.Eventually(wellWithin, "pipelock is replaced", func() (bool, string) {
		now := containers(e)
		return now != ids, now
	})
	settledReady(t, e, "one")
	replaced := 0
	for _, id := range strings.Fields(containers(e)) {
		if !strings.Contains(ids, id) {
			replaced++
		}
	}
	if replaced != 1 {
		t.Errorf("%d containers were replaced, want pipelock's only", replaced)
	}
}

func containers(e *harness.Env) string {
	return e.Docker("ps", "-aq", "--no-trunc", "--filter", "label="+state.LabelOwner+"="+e.Owner)
}

// TestDeclarations edits the directory under a running controller as people and their tools do.
func TestDeclarations(t *testing.T) {
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	e.Write("b.yaml", small("b"))
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "a")
	settledReady(t, e, "b")
	path := func(name string) string { return filepath.Join(e.Manifests, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ids, warnings := containers(e), c.LogCount(`"level":"warn"`)

	// Written in pieces, emptied for a moment, moved: nothing happens to the bottle.
	file, err := os.OpenFile(path("a.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	must(err)
	for _, piece := range strings.SplitAfter(small("a"), "\n") {
		time.Sleep(60 * time.Millisecond)
		_, err := file.WriteString(piece)
		must(err)
	}
	must(file.Close())
	time.Sleep(time.Second)
	must(os.Truncate(path("a.yaml"), 0))
	time.Sleep(time.Second)
	e.Write("a.yaml", small("a"))
	must(os.Rename(path("b.yaml"), path("c.yaml")))
	time.Sleep(3 * time.Second)
	if now := containers(e); now != ids || len(e.Status().Controller.Problems) != 0 || c.LogCount(`"level":"warn"`) != warnings {
		t.Fatalf("containers %s, then %s; problems %v\n%s", ids, now, e.Status().Controller.Problems, c.LogText())
	}

	// Nonsense in one file: the other bottle goes on, this one is healed as it was declared last, also by a controller
	// that never saw it declared well.
	e.Write("a.yaml", small("a")+"  sidecars: true\n")
	invalid := func() {
		t.Helper()
		e.Eventually(wellWithin, "the problem is told", func() (bool, string) {
			b, _ := e.Bottle("a")
			return b.Reason == reconciler.ReasonInvalid && strings.Contains(fmt.Sprint(e.Status().Controller.Problems), "a.yaml:6:3"), fmt.Sprintf("%+v", b)
		})
	}
	invalid()
	heal := func() {
		t.Helper()
		e.Docker("rm", "-f", e.Name(state.Pipelock, "a"))
		e.Eventually(wellWithin, "pipelock is back", func() (bool, string) {
			b, _ := e.Bottle("a")
			return len(b.Components) == 2 && b.Components[0].Ready && b.Components[0].State == "running", fmt.Sprintf("%+v", b)
		})
	}
	heal()
	e.Write("c.yaml", strings.Replace(small("b"), "spec:\n", "spec:\n  supervise: true\n", 1))
	settledReady(t, e, "b")
	if r := e.Expect(exitBadInput, "sync", "--timeout", "20s"); !strings.Contains(r.Stderr, "a.yaml:6:3") {
		t.Errorf("sync says: %s", r.Stderr)
	}
	c.Stop()
	e.Controller("--resync", "1h").Ready()
	invalid()
	heal()
	e.Write("a.yaml", small("a"))
	settledReady(t, e, "a")

	// One manifest removed: its bottle goes, but not at once. All removed: that looks like an accident.
	e.Write("d.yaml", small("d"))
	settledReady(t, e, "d")
	must(os.Remove(path("d.yaml")))
	e.Eventually(wellWithin, "bottle d is removed", func() (bool, string) {
		_, known := e.Bottle("d")
		left := e.Docker("ps", "-aq", "--filter", "name="+e.Name(state.Agent, "d"))
		return !known && left == "", left
	})
	must(os.RemoveAll(e.Manifests))
	time.Sleep(time.Second)
	must(os.Mkdir(e.Manifests, 0o755))
	e.Eventually(wellWithin, "the guard holds", func() (bool, string) {
		live := e.Status()
		return len(live.Controller.Held) == 2, fmt.Sprintf("%+v", live.Controller)
	})
	if b, _ := e.Bottle("a"); b.Reason != reconciler.ReasonHeld {
		t.Errorf("held: %+v", b)
	}
	if r := e.Bottled("status"); !strings.Contains(r.Stdout, "prune") {
		t.Errorf("status does not say how to go on:\n%s", r.Stdout)
	}
	if r := e.Bottled("sync", "--prune-held"); r.Code != exitDone {
		t.Errorf("sync --prune-held: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if left := containers(e); left != "" {
		t.Errorf("left: %s", left)
	}
	// A manifest dropped into the new directory, in a new folder.
	e.Write("team/z.yaml", small("z"))
	settledReady(t, e, "z")
}

// TestCheckout: a git checkout of 500 files is one pass over each bottle that it concerns.
func TestCheckout(t *testing.T) {
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	e.Write("b.yaml", small("b"))
	repository := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=t", "-c", "user.email=t@t.example"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v (git is needed for this test: apt-get install git): %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	for i := range 500 {
		if err := os.WriteFile(filepath.Join(repository, fmt.Sprintf("f%03d.yaml", i)), []byte("# nothing\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(repository, "a.yaml"), []byte(small("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "-A")
	git("commit", "-qm", "all")
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "a")
	settledReady(t, e, "b")
	time.Sleep(2 * time.Second)
	before := e.Metric("bottled_passes_total", nil)
	git("--work-tree", e.Manifests, "checkout", "-f", "HEAD", "--", ".")
	e.Write("b.yaml", strings.Replace(small("b"), "spec:\n", "spec:\n  supervise: true\n", 1))
	e.Eventually(wellWithin, "the last change is carried out", func() (bool, string) {
		b, _ := e.Bottle("b")
		return len(b.Components) == 3 && b.Ready, fmt.Sprintf("%+v", b)
	})
	time.Sleep(2 * time.Second)
	if passes := e.Metric("bottled_passes_total", nil) - before; passes > 20 {
		t.Errorf("%v passes for one checkout\n%s", passes, c.LogText())
	}
}

// TestStatusOfAController reads what the controller tells, in every way in which it does.
func TestStatusOfAController(t *testing.T) {
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
	watch := e.Command("status", "--watch", "-o", "json")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	watch.Stdout = out
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	saw := func(what, text string) {
		t.Helper()
		e.Eventually(wellWithin, "status --watch shows "+what, func() (bool, string) {
			data, err := os.ReadFile(out.Name())
			return err == nil && strings.Contains(string(data), text), string(data)
		})
	}
	saw("a ready bottle", `"reason":"Ready"`)
	e.Docker("rm", "-f", e.Name(state.Agent, "a"))
	saw("that its agent went", `"reason":"NotReady"`)
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("interrupted, status --watch ends with %v", err)
	}
}
