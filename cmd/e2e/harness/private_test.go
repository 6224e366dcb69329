package harness_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

func TestMain(m *testing.M) { harness.Main(m) }

// writeBare declares a bottle without an agent.
func writeBare(e *harness.Env) {
	e.Write("bare.yaml", "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: bare}\nspec: {}\n")
}

func TestPrivateEngine(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out the tests that need a Docker engine")
	}
	var host string
	t.Run("while it runs", func(t *testing.T) {
		engine := harness.PrivateEngine(t)
		host = engine.Host()
		e := harness.New(t)
		e.On(engine)
		writeBare(e)
		e.Reconcile(0)
		expectState(t, e, "running")
		expectUntouched(t, e)

		engine.Freeze()
		if _, err := ps(e, time.Second); err == nil {
			t.Error("a frozen engine answers")
		}
		engine.Thaw()
		expectState(t, e, "running")

		engine.Stop()
		if _, err := ps(e, 10*time.Second); err == nil {
			t.Error("a stopped engine answers")
		}
		engine.Start()
		expectState(t, e, "exited")
		engine.Freeze() // so that it goes when it's frozen
	})
	if left := traces(t, filepath.Dir(strings.TrimPrefix(host, "unix://"))); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// ps lists the Env's containers as "STATE NAME" with the docker CLI.
func ps(e *harness.Env, limit time.Duration) ([]string, error) {
	cmd := e.DockerCommand("ps", "-a", "--filter", "label="+state.LabelOwner+"="+e.Owner, "--format", "{{.State}} {{.Names}}")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer time.AfterFunc(limit, func() { cmd.Process.Kill() }).Stop()
	err := cmd.Wait()
	return strings.Split(strings.TrimSpace(out.String()), "\n"), err
}

func expectState(t *testing.T, e *harness.Env, want string) {
	t.Helper()
	if lines, err := ps(e, time.Minute); err != nil || len(lines) != 1 || !strings.HasPrefix(lines[0], want+" ") {
		t.Fatalf("docker ps: %v: %q, want one container that is %s", err, lines, want)
	}
}

// expectUntouched looks for the engine's bridges on the machine itself: among its links, and in its firewall.
func expectUntouched(t *testing.T, e *harness.Env) {
	t.Helper()
	rules, err := exec.Command("iptables-save").Output()
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(e.Docker("network", "ls", "--no-trunc", "--filter", "label="+state.LabelOwner+"="+e.Owner, "--format", "{{.ID}}"))
	if len(ids) != 2 {
		t.Fatalf("networks %v, want 2", ids)
	}
	for _, id := range ids {
		bridge := "br-" + id[:12]
		if _, err := net.InterfaceByName(bridge); err == nil || strings.Contains(string(rules), bridge) {
			t.Errorf("bridge %s is on the machine", bridge)
		}
	}
}

// traces are what is left of a private engine, or of an Env, that had a directory.
func traces(t *testing.T, dir string) []string {
	t.Helper()
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/*" + filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	found := cgroups
	if _, err := os.Stat(dir); err == nil {
		found = append(found, dir)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(commands, "/proc/self/mounts") {
		data, _ := os.ReadFile(path) // a process may have ended
		if strings.Contains(string(data), dir) {
			found = append(found, path+": "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

// victimEnv makes TestKilled the test process that is killed.
const victimEnv = "BOTTLED_TEST_VICTIM"

// TestKilled kills a test process that has an engine, bottles on it and a controller: its watchdog must leave nothing.
func TestKilled(t *testing.T) {
	if os.Getenv(victimEnv) != "" {
		engine := harness.PrivateEngine(t)
		e := harness.New(t)
		e.On(engine)
		writeBare(e)
		e.Controller().Ready()
		e.Eventually(time.Minute, "the bottle is there", func() (bool, string) {
			b, _ := e.Bottle("bare")
			return b.Ready, b.Message
		})
		os.Stdout.WriteString("ready " + engine.Host() + " " + e.Manifests + " " + harness.AgentImage + "\n")
		select {} // until it is killed
	}
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out the tests that need a Docker engine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	victim := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilled$")
	victim.Env = append(os.Environ(), victimEnv+"=1")
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var host, manifests, image string
	said := ""
	for lines := bufio.NewScanner(stdout); host == "" && lines.Scan(); said += lines.Text() + "\n" {
		if f := strings.Fields(lines.Text()); len(f) == 4 && f[0] == "ready" {
			host, manifests, image = f[1], f[2], f[3]
		}
	}
	victim.Process.Kill()
	victim.Wait()
	if host == "" {
		t.Fatalf("the test process to kill did not get far enough:\n%s", said)
	}
	c := harness.Client(t)
	dir, own := filepath.Dir(strings.TrimPrefix(host, "unix://")), filepath.Dir(manifests)
	left := func() []string {
		found := append(traces(t, dir), traces(t, own)...)
		if _, err := c.ImageInspect(ctx, image); !errdefs.IsNotFound(err) {
			found = append(found, fmt.Sprintf("image %s (%v)", image, err))
		}
		return found
	}
	for end := time.Now().Add(30 * time.Second); len(left()) > 0 && time.Now().Before(end); {
		harness.Elapse(50 * time.Millisecond)
	}
	if found := left(); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
}
