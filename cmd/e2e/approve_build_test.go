package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovedDockerfile: the agent gets the image that it asked for. If that can't be built, it goes on in the one it has, and the
// Dockerfile is as before.
func TestApprovedDockerfile(t *testing.T) {
	t.Parallel()
	a := &asking{Env: harness.New(t), t: t}
	dir := a.Context("agent", map[string]string{"Dockerfile": dockerfile})
	a.manifest = a.Write("one.yaml", building("one", "context: agent"))
	a.Controller("--resync", "1h").Ready()
	settledReady(t, a.Env, "one")
	agent := &builtAgent{t: t, e: a.Env}
	agent.now()
	has := func(want string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
		if err != nil || string(data) != want {
			t.Errorf("%v, the Dockerfile is:\n%s", err, data)
		}
	}
	ask := func(content string) *call {
		t.Helper()
		return a.ask("official", queue.CapabilityBlock, map[string]any{"dockerfile": content})
	}

	failing := dockerfile + "RUN [\"/bottled-demo\", \"dial\", \"192.0.2.1:1\"]\n"
	c := ask(failing)
	p := a.waits("Dockerfile")
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes"); !strings.Contains(r.Stderr, "returned a non-zero code: 1") {
		t.Errorf("the failed build is not explained:\n%s", r.Stderr)
	}
	if notes := a.answered(c, queue.Failed); !strings.Contains(notes, "The change was taken back") || strings.Contains(notes, dir) {
		t.Errorf("the agent is told:\n%s", notes)
	}
	agent.same("a failed build")
	has(dockerfile)
	a.audited(p, "failed", operator(t))

	better := dockerfile + "USER 1000\n"
	ask(better)
	p = a.waits("Dockerfile")
	if plan := strings.Join(a.review(p).Plan, "\n"); !strings.Contains(plan, "image") || !strings.Contains(plan, "replace agent "+a.Name(state.Agent, "one")) {
		t.Errorf("the plan:\n%s", plan)
	}
	a.Expect(exitDone, "approve", p.ID, "--yes")
	agent.replaced("an approved Dockerfile")
	has(better)
	a.answered(ask(better), queue.Approved) // the call went with the agent; its next life asks again
	a.audited(p, "approved", operator(t))

	for _, want := range []string{dockerfile, better} { // the second one undoes the first
		a.Expect(exitDone, "rollback", "one")
		agent.replaced("a rollback")
		has(want)
	}
}
