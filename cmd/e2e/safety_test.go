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

func TestPruneOnTheEngine(t *testing.T) {
	e := harness.New(t)
	slugs := []string{"a", "b", "c", "d"}
	for _, s := range slugs {
		e.Write(s+".yaml", small(s))
	}
	e.Reconcile(exitDone)
	remaining := func(want string) {
		t.Helper()
		var got []string
		for _, s := range slugs {
			if _, ok := status(t, e)[s]; ok {
				got = append(got, s)
			}
		}
		if strings.Join(got, "") != want {
			t.Fatalf("bottles left: %v, want %s", got, want)
		}
	}
	gone := func(slug string) {
		t.Helper()
		if err := os.Remove(filepath.Join(e.Manifests, slug+".yaml")); err != nil {
			t.Fatal(err)
		}
	}

	gone("d")
	e.Write("unreadable.yaml", "a: [b\n")
	if r := e.Reconcile(exitBadInput); !strings.Contains(r.Stderr, "kept, though not declared: [d]") {
		t.Errorf("nothing is said of the bottle that is kept:\n%s", r.Stderr)
	}
	remaining("abcd")
	gone("unreadable")
	e.Reconcile(exitDone, "--prune=none")
	remaining("abcd")
	e.Reconcile(exitDone)
	remaining("abc")

	gone("a")
	gone("b")
	gone("c")
	if r := e.Reconcile(exitFailed); !strings.Contains(r.Stderr, "--prune=all") {
		t.Errorf("an empty directory:\n%s", r.Stderr)
	}
	remaining("abc")
	if r := e.Expect(exitBadInput, "reconcile", "--once", e.Manifests+"-missing"); !strings.Contains(r.Stderr, "-missing") {
		t.Errorf("a missing directory: %s", r.Stderr)
	}
	remaining("abc")
	e.Reconcile(exitDone, "--prune=all")
	remaining("")
}

func TestInvalidManifestLeavesItsBottleRunning(t *testing.T) {
	e := harness.New(t)
	e.Write("a.yaml", small("a"))
	e.Write("b.yaml", small("b"))
	e.Reconcile(exitDone)
	id := e.Docker("inspect", "-f", "{{.Id}}", e.Name(state.Agent, "a"))
	e.Write("a.yaml", small("a")+"  sidecars: true\n")
	e.Docker("rm", "-f", e.Name(state.Agent, "b"))
	r := e.Reconcile(exitBadInput)
	if !strings.Contains(r.Stderr, "a.yaml:6:3:") || !strings.Contains(r.Stderr, "spec.sidecars") {
		t.Errorf("the error does not name the place:\n%s", r.Stderr)
	}
	if got := e.Docker("inspect", "-f", "{{.Id}}", e.Name(state.Agent, "a")); got != id {
		t.Error("the bottle with the invalid manifest did not keep running")
	}
	if b := status(t, e)["b"]; !b.Ready {
		t.Errorf("the bottle with the good manifest was not repaired: %+v", b)
	}
}

func TestOwners(t *testing.T) {
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

func TestForeignContainerIsNeverRemoved(t *testing.T) {
	e := harness.New(t)
	name := e.Name(state.CredProxy, "a")
	other := harness.New(t) // labels the foreign container, so that it goes when the test ends
	id := e.Docker("run", "-d", "--name", name, "--label", state.LabelOwner+"="+other.Owner, harness.AgentImage, "agent")
	e.Write("token", testToken)
	e.Write("a.yaml", whole("a"))
	e.Write("b.yaml", small("b"))
	r := e.Reconcile(exitFailed)
	if !strings.Contains(r.Stdout, name) || !strings.Contains(r.Stdout, "belongs to") {
		t.Errorf("the error does not say whose name it is:\n%s", r.Stdout)
	}
	if got := e.Docker("inspect", "-f", "{{.Id}} {{.State.Running}}", name); got != id+" true" {
		t.Errorf("the foreign container is %s", got)
	}
	if b := status(t, e)["b"]; !b.Ready {
		t.Errorf("the other bottle: %+v", b)
	}
	e.Docker("rm", "-f", name)
	e.Reconcile(exitDone)
}

func TestForeignNetworkAndMember(t *testing.T) {
	e := harness.New(t)
	other := harness.New(t)
	label := "--label=" + state.LabelOwner + "=" + other.Owner
	e.Docker("network", "create", label, "--subnet", strings.Replace(other.Pool, "/20", "/28", 1), e.Network("net", "a"))
	e.Write("a.yaml", small("a"))
	if r := e.Expect(exitFailed, "plan", e.Manifests); !strings.Contains(r.Stdout, e.Network("net", "a")) {
		t.Errorf("plan does not see the foreign network:\n%s", r.Stdout)
	}
	e.Docker("network", "rm", e.Network("net", "a"))
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
		t.Setenv("DOCKER_HOST", host)
		t.Setenv("BOTTLED_STATE_DIR", filepath.Join(dir, "state"))
		for _, command := range []string{"plan", "status"} {
			args := []string{command}
			if command == "plan" {
				args = append(args, dir)
			}
			stderr, code := capture(t, args...)
			if code != exitFailed || !strings.Contains(stderr, says) {
				t.Errorf("%s with %s: exit code %d, %s", command, host, code, stderr)
			}
		}
		if stderr, code := capture(t, "validate", dir); code != exitDone {
			t.Errorf("validate needs an engine? exit code %d, %s", code, stderr)
		}
	}
}

// capture runs the real executable without an engine.
func capture(t *testing.T, args ...string) (stderr string, code int) {
	t.Helper()
	r := harness.Run(t, nil, args...)
	return r.Stderr, r.Code
}
