package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// TestInitBecomesABottle has the manifest of `bottled init` become a bottle that is confined and has sessions. Only the image and
// its command are others: no registry is asked.
func TestInitBecomesABottle(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	file := filepath.Join(e.Manifests, "dev.yaml")
	e.Expect(exitDone, "init", "dev", "--agent", "shell", "-f", file)
	e.Expect(exitDone, "validate", file)
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ours := strings.NewReplacer("debian:stable-slim", harness.AgentImage, "[sleep, infinity]", "[agent]").Replace(string(written))
	if strings.Count(ours, harness.AgentImage) != 1 || strings.Count(ours, "command: [agent]") != 1 {
		t.Fatalf("another manifest than expected:\n%s", written)
	}
	e.Write("dev.yaml", ours)
	e.Reconcile(exitDone)
	if r := e.Expect(exitDone, "run", "dev", "--", "env"); !strings.Contains(r.Stdout, "HTTPS_PROXY=http://pipelock:8888") {
		t.Errorf("the session's environment:\n%s", r.Stdout)
	}
	if out, code := e.Agent("dev", "fetch", "http://example.com/"); code == 0 || !strings.Contains(out, "not in allowlist") {
		t.Errorf("a host that the manifest does not list: exit code %d\n%s", code, out)
	}
	e.Expect(exitDone, "delete", "dev")
	e.Expect(exitDone, "volumes", "rm", "--yes", "--orphans")
}
