package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestOutOfMemoryStorm has an agent get its own children killed for their memory as fast as the kernel does it. The
// controller is not kept busy by it, and what opens the bottle meanwhile is closed as ever.
func TestOutOfMemoryStorm(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	tools := t.TempDir()
	harness.CopyAttacker(t, filepath.Join(tools, "attacker"), 0o755)
	e.Write("one.yaml", fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  agent:
    image: %s
    command: [agent]
    resources: {memory: 32Mi, cpus: "1", pids: 64}
    mounts: [{source: %s, target: /tools, readOnly: true}]
`, harness.AgentImage, tools))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	agent := e.Name(state.Agent, "one")
	spent := func() (passes, calls float64) {
		return e.Metric("bottled_passes_total", nil), e.Metric("bottled_engine_calls_total", nil)
	}
	harness.Elapse(ownWork)
	passes, calls := spent()
	const seconds = 6
	ended := make(chan string, 1)
	go func() {
		out, err := e.DockerCommand("exec", agent, "/tools/attacker", "storm", fmt.Sprint(seconds)).CombinedOutput()
		ended <- fmt.Sprintf("%s%v", out, err)
	}()
	harness.Elapse(seconds * time.Second / 2)
	e.Docker("network", "connect", "bridge", agent)
	took := e.Eventually(wellWithin, "the way out is closed", func() (bool, string) {
		networks := e.Docker("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", agent)
		return !strings.Contains(networks, "bridge "), networks
	})
	storm := <-ended
	if !strings.Contains(storm, "children killed") {
		t.Fatalf("no storm: %s", storm)
	}
	nowPasses, nowCalls := spent()
	t.Logf("%s: %.0f passes, %.0f calls to the engine; the network was detached after %s", storm, nowPasses-passes, nowCalls-calls, took)
	if nowPasses-passes > 50 || nowCalls-calls > 250 {
		t.Errorf("a storm of %d s led to %.0f passes and %.0f calls to the engine", seconds, nowPasses-passes, nowCalls-calls)
	}
}
