package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// workOf makes a directory that belongs to a user.
func workOf(t *testing.T, e *harness.Env, uid, gid int, mode os.FileMode) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test gives directories to other users, which takes root")
	}
	dir := filepath.Join(filepath.Dir(e.Manifests), "work")
	for _, err := range []error{os.MkdirAll(dir, 0o700), os.Chmod(dir, mode), os.Chown(dir, uid, gid), os.Chmod(filepath.Dir(dir), 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAgentAsDeclared looks from the inside at what a manifest says about an agent's process: the agent's and a session's.
func TestAgentAsDeclared(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	work := workOf(t, e, 1000, 1001, 0o755)
	e.Write("one.yaml", strings.Replace(small("one"), "[agent]", fmt.Sprintf(`[agent], user: auto, workdir: /work, hostname: dev, shmSize: 1Mi, stopGracePeriod: 7s, extraHosts: {db.internal: pipelock, local.test: 127.0.0.1},
    mounts: [{source: %s, target: /work}], tmpfs: [{target: /tmp, size: 2Mi}, {target: /private, mode: "700"}],
    devices: [{source: /dev/zero, target: /dev/own, permissions: r, allowDangerous: true}]`, work), 1))
	e.Reconcile(exitDone)
	const want = `user 1000:1001
workdir /work
/work SIZE writable
/tmp 2097152 nosuid nodev writable
/private 67108864 nosuid nodev not writable
/dev/shm 1048576 nosuid nodev noexec writable
`
	look := []string{"self", "/work", "/tmp", "/private", "/dev/shm"}
	for where, out := range map[string]string{
		"agent": first(e.Agent("one", look...)), "session": e.Expect(exitDone, append([]string{"run", "one", "--"}, look...)...).Stdout,
	} {
		// A session has a host name of its own: that is an alias on the network.
		if hostname := "hostname dev\n"; strings.Contains(out, hostname) != (where == "agent") {
			t.Errorf("%s: %s", where, out)
		}
		out = regexp.MustCompile(`(?m)^hostname .*\n`).ReplaceAllString(out, "")
		if got := replaceSize(out, "/work "); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", where, got, want)
		}
	}
	names := []string{"resolve", "db.internal", "local.test"}
	if out, code := e.Agent("one", names...); code != 0 {
		t.Errorf("the agent does not resolve its names:\n%s", out)
	}
	e.Expect(exitDone, append([]string{"run", "one", "--"}, names...)...)
	noSessions(t, e)
	// A name by the engine's DNS is there again after a repair, and leads to pipelock wherever that is.
	e.Docker("network", "disconnect", "-f", e.Network("net", "one"), e.Name(state.Agent, "one"))
	e.Docker("rm", "-f", e.Name(state.Pipelock, "one"))
	e.Reconcile(exitDone)
	if out, code := e.Agent("one", "dial", "db.internal:8888"); code != 0 {
		t.Errorf("the agent does not reach pipelock by its own name for it:\n%s", out)
	}
	if got := e.Docker("inspect", "-f", "{{.Config.StopTimeout}} {{(index .HostConfig.Devices 0).PathInContainer}}", e.Name(state.Agent, "one")); got != "7 /dev/own" {
		t.Errorf("stop timeout and device: %s", got)
	}
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
	if r := e.Expect(exitDone, "status"); strings.Contains(r.Stdout, "warning") {
		t.Errorf("status warns:\n%s", r.Stdout)
	}
	// The owner of the tree is another one now.
	if err := os.Chown(work, 2000, 2000); err != nil {
		t.Fatal(err)
	}
	e.Reconcile(exitDone)
	if out, _ := e.Agent("one", "self"); !strings.HasPrefix(out, "user 2000:2000\n") {
		t.Errorf("after chown:\n%s", out)
	}
}

func first(out string, _ int) string { return out }

// replaceSize replaces the size of one directory's file system, which is the machine's.
func replaceSize(text, dir string) string {
	before, after, _ := strings.Cut(text, dir)
	_, rest, _ := strings.Cut(after, " ")
	return before + dir + "SIZE " + rest
}

// TestAgentCannotWrite warns of a tree that root without capabilities can't write to, while it is true.
func TestAgentCannotWrite(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	work := workOf(t, e, 1000, 1000, 0o755)
	manifest := func(user string) string {
		return strings.Replace(small("one"), "[agent]", fmt.Sprintf("[agent], mounts: [{source: %s, target: /work}]%s", work, user), 1)
	}
	path := e.Write("one.yaml", manifest(", user: \"0\""))
	e.Reconcile(exitDone)
	if out, _ := e.Agent("one", "self", "/work"); !strings.HasSuffix(out, " not writable\n") {
		t.Errorf("it can write to the tree of user 1000:\n%s", out)
	}
	want := fmt.Sprintf("root, which has no capabilities in a bottle, can't write to /work: %s belongs to 1000:1000, mode 0755. Set spec.agent.user to auto", work)
	if r := e.Expect(exitDone, "status"); !strings.Contains(strings.Join(strings.Fields(r.Stdout), " "), "one: warning: agent: "+want) {
		t.Errorf("status does not warn:\n%s\nwant: %s", r.Stdout, want)
	}
	e.Write("one.yaml", manifest(", user: \"1234\""))
	if r := e.Expect(exitDone, "validate", path); !strings.Contains(r.Stderr, "spec.agent.mounts[0]: user 1234 can't write to /work") {
		t.Errorf("validate: %s", r.Stderr)
	}
	e.Write("one.yaml", manifest(", user: auto"))
	e.Reconcile(exitDone)
	if r := e.Expect(exitDone, "status"); strings.Contains(r.Stdout, "warning") {
		t.Errorf("status warns still:\n%s", r.Stdout)
	}
	if out, _ := e.Agent("one", "self", "/work"); !strings.HasSuffix(out, " writable\n") || strings.Contains(out, "not writable") {
		t.Errorf("as the owner:\n%s", out)
	}
}

// TestStopGracePeriod stops an agent that ignores SIGTERM, and gives it the time of its manifest.
func TestStopGracePeriod(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	deaf := strings.Replace(small("one"), "[agent]", "[agent, --deaf], stopGracePeriod: 2s", 1)
	e.Write("one.yaml", deaf)
	e.Reconcile(exitDone)
	began := time.Now()
	e.Write("one.yaml", deaf+"  suspend: true\n")
	e.Reconcile(exitDone)
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was stopped within %s", took)
	}
	got := e.Docker("inspect", "-f", "{{.State.ExitCode}} {{.State.StartedAt}} {{.State.FinishedAt}}", e.Name(state.Agent, "one"))
	if !strings.HasPrefix(got, "137 ") {
		t.Errorf("it ended with %s", got)
	}
	events := e.Docker("events", "--since", began.Format(time.RFC3339Nano), "--until", time.Now().Format(time.RFC3339Nano), "--filter", "container="+e.Name(state.Agent, "one"),
		"--format", "{{.Action}} {{.TimeNano}} {{.Actor.Attributes.signal}}")
	var term, kill int64
	for line := range strings.Lines(events) {
		var action, signal string
		var at int64
		if _, err := fmt.Sscan(line, &action, &at, &signal); err == nil && action == "kill" {
			switch signal {
			case "15":
				term = at
			case "9":
				kill = at
			}
		}
	}
	if waited := time.Duration(kill - term); term == 0 || waited < 1900*time.Millisecond || waited > 8*time.Second {
		t.Errorf("SIGKILL came %s after SIGTERM, want 2s:\n%s", waited, events)
	}
}

// TestAttachToAgent works at the terminal of the declared agent, and leaves it.
func TestAttachToAgent(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", strings.Replace(small("one"), "[agent]", "[console], tty: true, stdin: true, restart: never", 1))
	e.Write("pipe.yaml", strings.Replace(small("pipe"), "[agent]", "[console], stdin: true, restart: never", 1))
	e.Reconcile(exitDone)
	c, master := onTerminal(t, e, 91, 31, "attach", "one")
	c.says("terminal: 91 x 31")
	c.types("hello\r")
	c.says("typed: hello")
	resizePTY(t, master, 70, 20)
	c.says("terminal: 70 x 20")
	c.types("\x03")
	c.says("signal: interrupt")
	c.types("\x10\x11")
	c.says("detached from bottle one: its agent goes on")
	c.ends(exitDone)
	if got := e.Docker("inspect", "-f", "{{.State.Running}}", e.Name(state.Agent, "one")); got != "true" {
		t.Errorf("left, it runs: %s", got)
	}
	if r := e.Expect(exitDone, "logs", "one/agent"); !strings.Contains(r.Stdout, "  typed: hello\n") {
		t.Errorf("its log:\n%s", r.Stdout)
	}
	again, _ := onTerminal(t, e, 92, 32, "attach", "one")
	again.says("terminal: 92 x 32")
	again.types("exit 7\r")
	again.ends(7)

	p := onPipes(t, e, "attach", "pipe")
	p.types("hello\nexit 3\n")
	p.ends(3)
	if !strings.Contains(p.out.String(), "typed: hello") {
		t.Errorf("through a pipe: %s", p.out)
	}
}
