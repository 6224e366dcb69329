package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

func TestOwners(t *testing.T) {
	t.Parallel()
	one, two := harness.New(t), harness.New(t)
	one.Write("a.yaml", small("a"))
	two.Write("b.yaml", small("b"))
	one.Reconcile(exitDone)
	two.Reconcile(exitDone)
	one.Reconcile(exitDone, "--prune=all")
	if b := status(t, two)["b"]; !b.Ready {
		t.Errorf("one owner's pass changed the other's bottle: %+v", b)
	}
	if got := status(t, one); len(got) != 1 {
		t.Errorf("one owner sees the other's bottles: %v", got)
	}

	// The same names: neither takes anything from the other.
	two.Prefix = one.Prefix
	two.Write("b.yaml", small("a"))
	if r := two.Reconcile(exitFailed, "--prune=none"); !strings.Contains(r.Stderr+r.Stdout, "belongs to bottled's owner \""+one.Owner) {
		t.Errorf("a name that another owner has:\n%s%s", r.Stdout, r.Stderr)
	}
	if r := one.Expect(exitDone, "plan", "--deep", one.Manifests); !strings.Contains(r.Stdout, "No changes") {
		t.Errorf("the other owner's failure left traces:\n%s", r.Stdout)
	}
}

// TestForeign meets what somebody else has made under the names that a bottle's objects would have, or on its network.
func TestForeign(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	other := harness.New(t) // labels what is foreign, so that it goes when the test ends
	label := "--label=" + state.LabelOwner + "=" + other.Owner
	name, network := e.Name(state.Pipelock, "a"), e.Network("net", "b")
	id := e.Docker("run", "-d", "--name", name, label, harness.AgentImage, "agent")
	e.Docker("network", "create", label, "--subnet", strings.Replace(other.Pool, "/20", "/28", 1), network)
	for _, slug := range []string{"a", "b", "c"} {
		e.Write(slug+".yaml", small(slug))
	}
	if r := e.Expect(exitFailed, "plan", e.Manifests); !strings.Contains(r.Stdout, network) {
		t.Errorf("plan does not see the foreign network:\n%s", r.Stdout)
	}
	r := e.Reconcile(exitFailed)
	if !strings.Contains(r.Stdout, name) || strings.Count(r.Stdout, "belongs to") < 2 {
		t.Errorf("the errors do not say whose names these are:\n%s", r.Stdout)
	}
	if got := e.Docker("inspect", "-f", "{{.Id}} {{.State.Running}}", name); got != id+" true" {
		t.Errorf("the foreign container is %s", got)
	}
	if b := status(t, e)["c"]; !b.Ready {
		t.Errorf("the other bottle: %+v", b)
	}
	e.Docker("rm", "-f", name)
	e.Docker("network", "rm", network)
	e.Reconcile(exitDone)

	// A foreign container on our network keeps it from being removed, and is itself not touched.
	guest := e.Docker("run", "-d", label, "--network", e.Network("egress", "a"), "--name", e.Prefix+"-guest", harness.AgentImage, "agent")
	if r := e.Bottled("delete", "a"); r.Code != exitFailed || !strings.Contains(r.Stderr, e.Prefix+"-guest") {
		t.Errorf("the error does not name the guest: %+v", r)
	}
	if e.Docker("inspect", "-f", "{{.State.Running}}", guest) != "true" {
		t.Error("the guest was touched")
	}
	e.Docker("rm", "-f", guest)
	e.Expect(exitDone, "delete", "a")
}

func TestLockAndStateDir(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	release, err := store.Lock(e.StateDir, e.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Reconcile(exitFailed); !strings.Contains(r.Stderr, "another bottled") {
		t.Errorf("a second controller: %s", r.Stderr)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	e.Reconcile(exitDone)
	elsewhere := filepath.Join(t.TempDir(), "state")
	for _, args := range [][]string{{"reconcile", "--once", e.Manifests}, {"delete", "a"}} {
		r := e.Expect(exitFailed, append(args, "--state-dir", elsewhere)...)
		if !strings.Contains(r.Stdout+r.Stderr, e.StateDir) {
			t.Errorf("%v with another state directory does not name the right one: %s%s", args, r.Stdout, r.Stderr)
		}
	}
	if r := e.Expect(exitFailed, "reconcile", "--once", e.Manifests, "--owner", "somebody"); !strings.Contains(r.Stderr, "belongs to owner") {
		t.Errorf("another owner in the same state directory: %s", r.Stderr)
	}
	if b := status(t, e)["a"]; !b.Ready {
		t.Errorf("%+v", b)
	}
}

func TestNoEngineAndRemoteEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	manifest := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(manifest, []byte(small("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, says := range map[string]string{
		"unix://" + dir + "/none.sock": "no docker engine answers",
		"tcp://127.0.0.1:1":            "not on this host",
		"ssh://user@127.0.0.1":         "not on this host",
	} {
		env := []string{"DOCKER_HOST=" + host, "BOTTLED_STATE_DIR=" + filepath.Join(dir, "state")}
		for _, args := range [][]string{{"plan", dir}, {"status"}} {
			if r := harness.Run(t, env, args...); r.Code != exitFailed || !strings.Contains(r.Stderr, says) {
				t.Errorf("%s with %s: exit code %d, %s", args, host, r.Code, r.Stderr)
			}
		}
		if r := harness.Run(t, env, "validate", dir); r.Code != exitDone {
			t.Errorf("validate needs an engine? exit code %d, %s", r.Code, r.Stderr)
		}
	}
}
