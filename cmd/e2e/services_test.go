package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

const web state.ComponentName = state.ServicePrefix + "web"

// serviceManifest is a bottle with an agent and two services, of which the first takes a while until it is healthy.
func serviceManifest() string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  services:
    - name: web
      image: %[1]q
      command: [upstream, --http, ":8080", --https=]
      user: "4711:4711"
      volumes: [{name: data, target: /var/lib/web}]
      healthcheck: {command: [/bottled-demo, dial, "127.0.0.1:8080"], interval: 1s}
      resources: {memory: 64Mi, pids: 50}
      env: {FROM_FILE: {file: ./motto}}
      tmpfs: [{target: /scratch, size: 1Mi, mode: "700"}]
      stopGracePeriod: 3s
    - {name: idle, image: %[1]q, command: [agent]}
  agent: {image: %[1]q, command: [agent]}
`, harness.AgentImage)
}

// engineState is what docker inspect shows of a container's state.
type engineState struct {
	StartedAt time.Time
	Health    struct {
		Status string
		Log    []struct {
			End      time.Time
			ExitCode int
		}
	}
}

func stateOfContainer(t *testing.T, e *harness.Env, container string) engineState {
	t.Helper()
	var s engineState
	if err := json.Unmarshal([]byte(e.Docker("inspect", "-f", "{{json .State}}", container)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestServices runs services beside an agent: ready before it, reached by name and only from inside, healed, replaced and removed.
func TestServices(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("motto", "first")
	e.Write("one.yaml", serviceManifest())
	e.Controller("--resync", "1h").Ready()
	e.Expect(exitDone, "wait", "one")
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
	agent, service, idle := e.Name(state.Agent, "one"), e.Name(web, "one"), e.Name(state.ServicePrefix+"idle", "one")

	first, second, last := stateOfContainer(t, e, service), stateOfContainer(t, e, idle), stateOfContainer(t, e, agent)
	healthy := time.Time{}
	for _, check := range first.Health.Log {
		if check.ExitCode == 0 && (healthy.IsZero() || check.End.Before(healthy)) {
			healthy = check.End
		}
	}
	if healthy.IsZero() || !second.StartedAt.After(healthy) || !last.StartedAt.After(second.StartedAt) {
		t.Errorf("healthy at %s, the next service was started at %s, the agent at %s", healthy, second.StartedAt, last.StartedAt)
	}
	asked := func(when string) {
		t.Helper()
		if out, code := e.Agent("one", "fetch", "http://web:8080/hello"); code != 0 || !strings.Contains(out, `"path":"/hello"`) && !strings.Contains(out, `"path": "/hello"`) {
			t.Errorf("%s: the agent gets (exit code %d)\n%s", when, code, out)
		}
	}
	asked("at first")
	for _, in := range []string{service, idle} {
		if out, _ := e.Exec(in, "resolve", "--timeout", "2s", "example.com"); !strings.Contains(out, "example.com fails") {
			t.Errorf("%s resolves: %s", in, out)
		}
		if got := e.Docker("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}{{.HostConfig.CapDrop}}", in); got != e.Network("net", "one")+" [ALL]" {
			t.Errorf("%s is on %s", in, got)
		}
	}
	e.Expect(exitDone, "cp", e.Write("marker", "kept"), "one/service-web:/var/lib/web/marker")

	is := func(when string, condition func(reconciler.BottleStatus) bool) {
		bottleIs(t, e, "one", when, condition)
	}
	restarted := func(since time.Time) func(reconciler.BottleStatus) bool {
		return func(b reconciler.BottleStatus) bool {
			now := stateOfContainer(t, e, service) // the status may be that from before
			return b.Ready && now.StartedAt.After(since) && now.Health.Status == "healthy"
		}
	}
	before := stateOfContainer(t, e, service).StartedAt
	e.Docker("kill", service)
	is("the killed service is back", restarted(before))
	asked("healed")
	before = stateOfContainer(t, e, service).StartedAt
	e.Expect(exitDone, "restart", "one/service-web")
	is("it was restarted", restarted(before))
	if now := stateOfContainer(t, e, agent).StartedAt; !now.Equal(last.StartedAt) {
		t.Error("the agent was started again")
	}
	if r := e.Expect(exitDone, "logs", "one/service-web"); !strings.Contains(r.Stdout, "/hello") {
		t.Errorf("logs: %s", r.Stdout)
	}
	if r := e.Expect(exitDone, "exec", "one/service-web", "--", "/bottled-demo", "env"); strings.Contains(strings.ToLower(r.Stdout), "proxy") {
		t.Errorf("the service's environment:\n%s", r.Stdout)
	}
	for _, command := range [][]string{{"status", "one"}, {"describe", "one"}} {
		if r := e.Expect(exitDone, command...); !strings.Contains(r.Stdout, "service-web") || !strings.Contains(r.Stdout, e.Prefix+"-volume-data.one") {
			t.Errorf("%s:\n%s", command[0], r.Stdout)
		}
	}
	if r := e.Expect(exitBadInput, "restart", "one/web"); !strings.Contains(r.Stderr, "service-NAME") {
		t.Errorf("restart: %s", r.Stderr)
	}

	if got := e.Docker("inspect", "-f", "{{.Config.StopTimeout}} {{json .HostConfig.Tmpfs}}", service); got != `3 {"/scratch":"rw,exec,nosuid,nodev,size=1048576,mode=700"}` {
		t.Errorf("the service is stopped after, and has: %s", got)
	}
	hasMotto := func(motto string) {
		t.Helper()
		if r := e.Expect(exitDone, "exec", "one/service-web", "--", "/bottled-demo", "env"); !strings.Contains(r.Stdout, "FROM_FILE="+motto) {
			t.Errorf("the service's environment:\n%s", r.Stdout)
		}
	}
	hasMotto("first")
	e.Write("motto", "second")
	e.Expect(exitDone, "sync")
	hasMotto("second")
	asked("replaced")
	e.Expect(exitDone, "cp", "one/service-web:/var/lib/web/marker", t.TempDir())
	if now := stateOfContainer(t, e, agent).StartedAt; !now.Equal(last.StartedAt) {
		t.Error("the agent was replaced with its service")
	}
	head, rest, _ := strings.Cut(serviceManifest(), "  services:")
	_, tail, _ := strings.Cut(rest, "  agent:")
	e.Write("one.yaml", head+"  agent:"+tail)
	e.Expect(exitDone, "sync")
	if left := e.Docker("ps", "-aq", "--filter", "name="+e.Prefix+"-service-"); left != "" {
		t.Errorf("services are left: %s", left)
	}
}
