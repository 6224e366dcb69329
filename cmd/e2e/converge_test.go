package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// whole is a manifest of a bottle with every part.
func whole(slug string) string {
	return `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: ` + slug + `, labels: {team: core}}
spec:
  supervise: true
  egress:
    allowlist: [docs.demo.example]
  credProxy:
    routes:
      - path: /api/
        upstream: https://api.demo.example
        token: {file: ./token}
  agent:
    image: ` + harness.AgentImage + `
    command: [agent]
    env: {GREETING: hello}
    resources: {memory: 64Mi, cpus: "0.5", pids: 64}
`
}

// wholeComponents are those of the bottle that whole declares.
var wholeComponents = []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Agent}

// small is a manifest of a bottle with an agent and pipelock only.
func small(slug string) string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: %s}
spec:
  agent: {image: %q, command: [agent]}
`, slug, harness.AgentImage)
}

// hangup is what `kill -HUP` sends.
var hangup = syscall.SIGHUP

const testToken = "marker-token-7c1d"

func newWhole(t *testing.T, slugs ...string) *harness.Env {
	t.Helper()
	e := harness.New(t)
	e.Write("token", testToken+"\n")
	for _, s := range slugs {
		e.Write(s+".yaml", whole(s))
	}
	return e
}

func status(t *testing.T, e *harness.Env) map[string]reconciler.BottleStatus {
	t.Helper()
	r := e.Expect(exitDone, "status", "-o", "json")
	var got struct {
		Bottles []reconciler.BottleStatus `json:"bottles"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatalf("%v\n%s", err, r.Stdout)
	}
	bySlug := map[string]reconciler.BottleStatus{}
	for _, b := range got.Bottles {
		bySlug[b.Slug] = b
	}
	return bySlug
}

func TestConverge(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one", "two")
	proxy := e.Proxy()
	r := e.Expect(exitDifferences, "plan", e.Manifests)
	for kind, want := range map[string]int{"network": 4, "pipelock": 2, "cred-proxy": 2, "supervise": 2, "agent": 2} {
		if got := strings.Count(r.Stdout, "  +   "+kind+" "); got != want {
			t.Errorf("the plan of two new bottles creates %d of %s, want %d:\n%s", got, kind, want, r.Stdout)
		}
	}
	e.Reconcile(exitDone)

	for slug, b := range status(t, e) {
		if !b.Ready || b.Reason != reconciler.ReasonReady || len(b.Components) != 4 {
			t.Errorf("bottle %s: %+v", slug, b)
		}
		for i, part := range wholeComponents {
			if b.Components[i].Component != part || !b.Components[i].Ready {
				t.Errorf("bottle %s: part %d is %+v, want a ready %s", slug, i, b.Components[i], part)
			}
		}
	}
	for _, args := range [][]string{{"reconcile", "--once", e.Manifests}, {"plan", e.Manifests}, {"reconcile", "--dry-run", e.Manifests}, {"status"}} {
		proxy.Reset(nil)
		e.Expect(exitDone, args...)
		calls, want := proxy.Calls(), 6
		if slices.Contains(args, "--once") {
			want += 1 + 6 // for the audit logs, the sidecars are listed, and the output of each is read
		}
		if len(calls) > want {
			t.Errorf("%v on converged bottles: %d engine calls, want at most %d: %v", args, len(calls), want, calls)
		}
	}
	if r := e.Expect(exitDone, "plan", "--deep", e.Manifests); !strings.Contains(r.Stdout, "No changes") {
		t.Errorf("a deep plan right after converging:\n%s", r.Stdout)
	}

	e.Expect(exitDone, "delete", "one")
	if got := status(t, e); len(got) != 1 || !got["two"].Ready {
		t.Errorf("after delete one: %+v", got)
	}
	e.Expect(exitDone, "delete", "--all")
	if left := objects(e); len(left) > 0 {
		t.Errorf("left after delete --all: %s", left)
	}
	if r := e.Bottled("delete", "one"); r.Code != exitFailed || !strings.Contains(r.Stderr, `no bottle "one"`) {
		t.Errorf("deleting what isn't there: %+v", r)
	}
}

// TestSecretsStayInside looks for the token everywhere but in the file that cred-proxy reads.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	r := e.Reconcile(exitDone, "--log-level", "debug")
	e.Write("token", testToken+"-rotated\n")
	r2 := e.Bottled("plan", "-o", "json", e.Manifests)
	if r2.Code != exitDifferences {
		t.Errorf("a rotated token is no difference: %+v", r2)
	}
	r3 := e.Reconcile(exitDone, "--log-level", "debug")
	shown := []string{r.Stdout, r.Stderr, r2.Stdout, r2.Stderr, r3.Stdout, r3.Stderr}
	for _, part := range wholeComponents {
		name := e.Name(part, "one")
		shown = append(shown, e.Docker("inspect", name), e.Docker("logs", name), e.Docker("top", name, "-eo", "pid,args"))
	}
	shown = append(shown, e.Docker("network", "inspect", e.Network("net", "one")))
	for _, text := range shown {
		if strings.Contains(text, testToken) {
			t.Errorf("the token is shown in:\n%s", text)
		}
	}
	err := filepath.WalkDir(e.StateDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), testToken) {
			t.Errorf("the token is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
