package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// legacyFile is a bottle of claude-bottle that may reach the hosts.
func legacyFile(hosts string) string {
	return `---
supervise: true
env:
  GREETING: hello
egress:
  allowlist: [` + hosts + `]
  dlp_action: block
cred_proxy:
  routes:
    - path: anthropic
      upstream: https://api.demo.example
      auth_scheme: Bearer
      token_ref: LEGACY_TOKEN
      role: anthropic-base-url
---
Text for people.
`
}

// TestLegacyBottle drops a claude-bottle file into the directory of a running controller, edits it, breaks it, and replaces it by
// the manifest that import makes of it.
func TestLegacyBottle(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image := e.Image("waits", `CMD ["agent"]`, nil)
	e.Extra = append(e.Extra, "CLAUDE_BOTTLE_AGENT_IMAGE="+image, "LEGACY_TOKEN="+testToken)
	e.Write("README.md", "# Bottles\n\n---\nsupervise: true\n---\n")
	e.Controller("--resync", "1h").Ready()

	file := e.Write("dev.md", legacyFile("docs.demo.example"))
	settledReady(t, e, "dev")
	env, _ := e.Agent("dev", "env")
	for _, want := range []string{"GREETING=hello\n", "ANTHROPIC_BASE_URL=http://cred-proxy:9099/anthropic/\n"} {
		if !strings.Contains(env, want) {
			t.Errorf("the agent has no %s in:\n%s", want, env)
		}
	}
	if strings.Contains(env, testToken) {
		t.Errorf("the agent has the token:\n%s", env)
	}
	ids := owned(e)
	if n := len(strings.Fields(ids)); n != 4 {
		t.Errorf("%d containers", n)
	}

	const refused = "domain not in allowlist"
	if out, _ := e.Agent("dev", "fetch", "http://new.demo.example/"); !strings.Contains(out, refused) {
		t.Errorf("the new host is not refused yet:\n%s", out)
	}
	e.Write("dev.md", legacyFile("docs.demo.example, new.demo.example"))
	e.Eventually(wellWithin, "the new host is let through", func() (bool, string) {
		out, _ := e.Agent("dev", "fetch", "http://new.demo.example/")
		return !strings.Contains(out, refused), out
	})
	settledReady(t, e, "dev")

	e.Write("dev.md", strings.Replace(legacyFile("docs.demo.example"), "egress:", "egress_:", 1))
	e.Eventually(wellWithin, "the problem is told", func() (bool, string) {
		b, _ := e.Bottle("dev")
		return b.Reason == reconciler.ReasonInvalid && strings.Contains(fmt.Sprint(e.Status().Controller.Problems), "dev.md:5:1: egress_: unknown key"), fmt.Sprintf("%+v", b)
	})

	e.Write("dev.md", legacyFile("docs.demo.example"))
	settledReady(t, e, "dev")
	e.Write("dev.yaml", e.Expect(exitDone, "import", file).Stdout)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	e.Expect(exitDone, "sync")
	asDeclared(t, e)
	if now := owned(e); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
}

// TestLegacyWithoutImage: without the setting, a bottle has no agent; one with an environment for it says what is missing.
func TestLegacyWithoutImage(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Extra = append(e.Extra, "CLAUDE_BOTTLE_AGENT_IMAGE=", "LEGACY_TOKEN="+testToken)
	e.Write("dev.md", legacyFile("docs.demo.example"))
	e.Write("bare.md", strings.Replace(legacyFile("docs.demo.example"), "env:\n  GREETING: hello\n", "", 1))
	r := e.Reconcile(exitFailed)
	if want := filepath.Join(e.Manifests, "dev.md") + ":2: env: it is for the agent, and neither this file nor a setting names the agent's image: set --agent-image"; !strings.Contains(r.Stdout+r.Stderr, want) {
		t.Errorf("%s%s\nwant %s", r.Stdout, r.Stderr, want)
	}
	names := e.Docker("ps", "-a", "--format", "{{.Names}}", "--filter", "label="+state.LabelOwner+"="+e.Owner)
	for _, part := range []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise} {
		if !strings.Contains(names, e.Name(part, "bare")) {
			t.Errorf("%s is missing among %s", part, names)
		}
	}
	if strings.Contains(names, e.Name(state.Agent, "bare")) || strings.Contains(names, "-dev") {
		t.Errorf("containers %s", names)
	}
}
