package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestInit leaves more orphans in an agent and in a session than they may have processes, and has neither run out of them. What the
// init stands between, exit codes, signals and commands that can't be executed, is as if there was none.
func TestInit(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", strings.Replace(small("one"), "[agent]", "[agent], resources: {pids: 64}", 1))
	e.Reconcile(exitDone)
	const orphans, count = "orphans", "--count=70"
	if out, code := e.Agent("one", orphans, count); code != 0 || out != "no zombies\n" {
		t.Errorf("in the agent: %s (exit code %d)", out, code)
	}
	if r := e.Expect(exitDone, "run", "one", "--", orphans, count); r.Stdout != "no zombies\n" {
		t.Errorf("in a session: %s%s", r.Stdout, r.Stderr)
	}
	e.Expect(7, "run", "one", "--", "agent", "--task=1ms", "--code=7")
	e.Docker("stop", e.Name(state.Agent, "one"))
	if code := e.Docker("inspect", "-f", "{{.State.ExitCode}}", e.Name(state.Agent, "one")); code != "143" {
		t.Errorf("stopped, the agent ended with exit code %s, want its own for SIGTERM", code)
	}

	// Only the kernel can judge the first file, and the engine knows no more of the second than bottled does.
	for name, want := range map[string]struct {
		mode int64
		code int
		says string
	}{
		"script": {0o755, exitNotFound, "exec /script: No such file or directory"}, "text": {0o644, exitCantInvoke, "/text is no executable file"},
	} {
		image := e.Image(name, "ADD files.tar /\nENTRYPOINT [\"/"+name+"\"]\n", map[string]string{"files.tar": tarOf(t, name, want.mode, "#!/nowhere\n")})
		e.Write("one.yaml", strings.Replace(small("one"), harness.AgentImage, image, 1))
		r := e.Reconcile(exitFailed)
		session := e.Bottled("run", "one")
		if session.Code != want.code || !strings.Contains(session.Stderr, want.says) {
			t.Errorf("run %s: exit code %d, want %d; it says %q, want %q", name, session.Code, want.code, session.Stderr, want.says)
		}
		if said := r.Stderr + session.Stderr + session.Stdout; !strings.Contains(r.Stderr, want.says) || strings.Contains(said, "tini") {
			t.Errorf("reconcile %s says %q, want %q", name, r.Stderr, want.says)
		}
	}
	noSessions(t, e)
}

// tarOf is an archive of one file.
func tarOf(t *testing.T, name string, mode int64, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))})
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestInitOfAnImage runs an image that brings the same init: it copes with not being the first process.
func TestInitOfAnImage(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	program, err := exec.LookPath("docker-init")
	if err != nil {
		program = "/usr/libexec/docker/docker-init"
	}
	tini, err := os.ReadFile(program)
	if err != nil {
		t.Fatalf("the engine's init: %v", err)
	}
	image := e.Image("tini", "ADD tini.tar /\nENTRYPOINT [\"/tini\", \"--\", \"/bottled-demo\"]\n", map[string]string{"tini.tar": tarOf(t, "tini", 0o755, string(tini))})
	e.Write("one.yaml", strings.Replace(small("one"), harness.AgentImage, image, 1))
	e.Reconcile(exitDone)
	if r := e.Expect(exitDone, "run", "one", "--", "orphans"); r.Stdout != "no zombies\n" {
		t.Errorf("in a session: %s%s", r.Stdout, r.Stderr)
	}
	e.Expect(7, "run", "one", "--", "agent", "--task=1ms", "--code=7")
	noSessions(t, e)
}

// TestNoInit is on an engine that does not find its init.
func TestNoInit(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.On(harness.PrivateEngineWith(t, map[string]any{"init-path": "/nowhere/docker-init"}))
	e.Write("one.yaml", small("one"))
	const advice = "Debian and Ubuntu: apt-get install tini"
	if r := e.Reconcile(exitFailed); !strings.Contains(r.Stdout, "start container: ") || !strings.Contains(r.Stdout, advice) {
		t.Errorf("reconcile does not say what to do:\n%s", r.Stdout)
	}
	if r := e.Bottled("doctor"); r.Code != exitFailed || !strings.Contains(r.Stdout, "the engine does not find docker-init") || !strings.Contains(r.Stdout, advice) {
		t.Errorf("doctor: exit code %d\n%s", r.Code, r.Stdout)
	}
}
