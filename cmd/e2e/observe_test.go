package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestWhatDidMyAgentTry goes from what an agent was refused to a manifest that allows it, and looks back when the containers are gone.
func TestWhatDidMyAgentTry(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	manifest := strings.Replace(small("one"), "spec:\n", "spec:\n  egress: {allowlist: [docs.demo.example]}\n", 1)
	e.Write("one.yaml", manifest)
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	for _, host := range []string{"wanted.example", "wanted.example", "evil.example"} {
		if out, code := e.Agent("one", "fetch", "http://"+host+"/"); code == 0 || !strings.Contains(out, "domain not in allowlist") {
			t.Fatalf("%s: exit code %d, %s", host, code, out)
		}
	}
	e.Eventually(wellWithin, "the refusals are in the audit log", func() (bool, string) {
		r := e.Bottled("traffic", "--denied", "one")
		return strings.Count(r.Stdout, "  DENY   GET ") == 3, r.Stdout + r.Stderr
	})
	observed := e.Expect(exitDone, "observe", "one").Stdout
	if first, second := strings.Index(observed, "\n    - wanted.example  # 2 refused"), strings.Index(observed, "\n    - evil.example  # 1 refused"); first < 0 || second < first {
		t.Errorf("observed:\n%s", observed)
	}
	if d := e.Expect(exitDone, "describe", "one").Stdout; !strings.Contains(d, "wanted.example") || !strings.Contains(d, "\nEvents\n") {
		t.Errorf("described:\n%s", d)
	}

	// The same rules say no now, and yes of the manifest that is to come.
	e.Expect(exitDifferences, "check", "one", "http://wanted.example/")
	next := filepath.Join(t.TempDir(), "one.yaml")
	if err := os.WriteFile(next, []byte(strings.Replace(manifest, "docs.demo.example", "docs.demo.example, wanted.example", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Expect(exitDone, "check", "--dir", next, "one", "http://wanted.example/")

	before := fmt.Sprint(owned(e, "--filter", "name="+e.Name(state.Pipelock, "one")))
	e.Docker("rm", "-f", e.Name(state.Pipelock, "one"))
	e.Eventually(wellWithin, "there is another pipelock", func() (bool, string) {
		now := fmt.Sprint(owned(e, "--filter", "name="+e.Name(state.Pipelock, "one")))
		return now != before && now != "[]" && now != "", now
	})
	settledReady(t, e, "one")
	if r := e.Expect(exitDone, "logs", "--previous", "one/pipelock"); strings.Count(r.Stdout, "DENY") != 3 {
		t.Errorf("of the pipelock before: %s", r.Stdout)
	}
	if r := e.Expect(exitDone, "events", "one"); !strings.Contains(r.Stdout, "DriftFound") {
		t.Errorf("events: %s", r.Stdout)
	}
}
