package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// agentEnv returns a variable of the agent of bottle a.
func (w *world) agentEnv(variable string) string {
	w.t.Helper()
	id, _ := w.hands.ID(name(state.Agent, "a"))
	c, err := w.engine.Inspect(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Container.Env[variable]
}

// TestEnvFileReplacesAgent replaces the agent, and nothing else, when an env file changes. A file with a problem changes nothing.
func TestEnvFileReplacesAgent(t *testing.T) {
	simulate(t, func(w *world) {
		path := filepath.Join(t.TempDir(), "agent.env")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			w.source.change(func(map[string]v1alpha1.Bottle) {}) // what the watcher of references tells
		}
		write("A=file\nB=file\n")
		b := full("a")
		b.Spec.Agent.EnvFile, b.Spec.Agent.Env = []string{path}, map[string]v1alpha1.EnvValue{"B": {Text: "manifest"}}
		w.declare(b)
		w.run(nil)
		w.settle(10 * time.Second)
		if a, b := w.agentEnv("A"), w.agentEnv("B"); a != "file" || b != "manifest" {
			t.Errorf("A is %q, B is %q", a, b)
		}
		agent, _ := w.hands.ID(name(state.Agent, "a"))
		proxy, _ := w.hands.ID(name(state.Pipelock, "a"))

		write("A=other\nwhat\n")
		w.pass(10 * time.Second)
		if s, _ := w.status("a"); !strings.Contains(s.Message, path+":2: the line is not NAME=VALUE") {
			t.Errorf("status: %+v", s)
		}
		if id, running := w.hands.ID(name(state.Agent, "a")); id != agent || !running {
			t.Error("a broken env file replaced the agent")
		}

		write("A=other\n")
		w.settle(10 * time.Second)
		if got := w.agentEnv("A"); got != "other" {
			t.Errorf("A is %q", got)
		}
		if id, _ := w.hands.ID(name(state.Agent, "a")); id == agent {
			t.Error("the agent has the environment of the changed file, but was not replaced")
		}
		if id, _ := w.hands.ID(name(state.Pipelock, "a")); id != proxy {
			t.Error("a sidecar was replaced for the agent's environment")
		}
	})
}
