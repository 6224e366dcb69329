package harness

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
)

// runID marks everything that this test process makes.
var runID = "t" + randomHex(4)

// watchdogEnv turns the test binary into the watchdog of another one.
const watchdogEnv = "BOTTLED_TEST_WATCHDOG"

// watchdogInput tells the watchdog what to remove in the end: lines of a kind (image, directory, engine) and a name.
var watchdogInput io.Writer = io.Discard

// mark is in the environment of every process that a test starts, so that the watchdog finds those that outlive it.
var mark = "BOTTLED_TEST_RUN=" + runID

// Client connects to the engine of DOCKER_HOST, or the local one. Without one the test fails: a real-engine test that
// is skipped proves nothing.
func Client(tb testing.TB) *client.Client {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short leaves out the tests that need a Docker engine")
	}
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		_, err = c.Ping(context.Background())
	}
	if err != nil {
		tb.Fatalf("this test needs a Docker engine and none answers: %v\nGet one with: task setup (on Debian or Ubuntu: apt-get install docker.io)", err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Env is one test's own bottled: owner, names, state directory, subnets and manifests that nobody else has.
type Env struct {
	tb        testing.TB
	Client    *client.Client
	Owner     string
	Prefix    string
	StateDir  string
	RunDir    string
	Manifests string // a directory of manifests, empty at first
	Pool      string
	Extra     []string // environment of the bottled processes
}

// New makes an Env and, when the test ends, removes what it owns.
func New(tb testing.TB) *Env {
	tb.Helper()
	c := Client(tb)
	owner := runID + "-" + randomHex(3)
	dir := shortDir(tb, "directory")
	e := &Env{
		tb: tb, Client: c, Owner: owner, Prefix: owner, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"),
		Manifests: filepath.Join(dir, "manifests"), Pool: nextPool(),
	}
	e.must(os.MkdirAll(e.Manifests, 0o755)) //nolint:gosec // manifests are no secret
	loadOnce(tb, c)
	tb.Cleanup(func() {
		if err := removeOwned(context.Background(), c, func(o string) bool { return o == owner }); err != nil {
			tb.Errorf("clean up: %v", err)
		}
		e.must(os.RemoveAll(dir))
	})
	return e
}

// shortDir makes a directory directly below the one for temporary files, since a socket's path has at most 107 bytes, and
// has the watchdog remove it as what it is.
func shortDir(tb testing.TB, kind string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "bt")
	if err != nil {
		tb.Fatal(err)
	}
	fmt.Fprintln(watchdogInput, kind, dir)
	return dir
}

// In is the Env as a subtest uses it.
func (e *Env) In(tb testing.TB) *Env {
	in := *e
	in.tb = tb
	return &in
}

func (e *Env) must(err error) {
	e.tb.Helper()
	if err != nil {
		e.tb.Fatal(err)
	}
}

// nextPool is a /20 (128 bottles) that the engine and its default pools leave alone, and that no other Env of this process has.
// Where they begin is the process's, for the sake of others.
func nextPool() string {
	n := (firstPool + pools.Add(1)) % 1024
	return fmt.Sprintf("10.%d.%d.0/20", 64+n/16, n%16*16)
}

var (
	firstPool = uint32(os.Getpid())
	pools     atomic.Uint32
)

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Elapse lets real time pass: for tests of what does, or does not, happen meanwhile. Whoever waits for something to happen uses
// Eventually.
func Elapse(d time.Duration) { time.Sleep(d) }

// Write puts a manifest, or another file, into the directory of manifests.
func (e *Env) Write(name, content string) string {
	e.tb.Helper()
	path := filepath.Join(e.Manifests, name)
	e.must(os.MkdirAll(filepath.Dir(path), 0o755)) //nolint:gosec // manifests are no secret
	e.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// Result is the outcome of one bottled process.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Bottled runs the real executable with the Env's settings.
func (e *Env) Bottled(args ...string) Result {
	e.tb.Helper()
	return finish(e.tb, e.Command(args...))
}

// Run runs the real executable; it needs no engine.
func Run(tb testing.TB, env []string, args ...string) Result {
	tb.Helper()
	cmd := exec.Command(Binary(tb), args...) //nolint:gosec // the executable that is tested
	cmd.Env = append(append(os.Environ(), mark), env...)
	return finish(tb, cmd)
}

func finish(tb testing.TB, cmd *exec.Cmd) Result {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Command prepares a bottled process with the Env's settings.
func (e *Env) Command(args ...string) *exec.Cmd {
	e.tb.Helper()
	cmd := exec.Command(Binary(e.tb), args...) //nolint:gosec // the executable that is tested
	cmd.Env = append(os.Environ(), mark,
		"BOTTLED_OWNER="+e.Owner, "BOTTLED_PREFIX="+e.Prefix, "BOTTLED_STATE_DIR="+e.StateDir, "BOTTLED_RUN_DIR="+e.RunDir, "BOTTLED_SUBNET_POOL="+e.Pool)
	cmd.Env = append(cmd.Env, e.Extra...)
	return cmd
}

// Reconcile makes one pass over the directory of manifests and fails the test when the exit code is another.
func (e *Env) Reconcile(code int, args ...string) Result {
	e.tb.Helper()
	return e.Expect(code, append([]string{"reconcile", "--once", e.Manifests}, args...)...)
}

// Expect runs bottled and fails the test when the exit code is another.
func (e *Env) Expect(code int, args ...string) Result {
	e.tb.Helper()
	r := e.Bottled(args...)
	if r.Code != code {
		e.tb.Fatalf("bottled %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}

// Name is the name of a part's container.
func (e *Env) Name(part state.ComponentName, slug string) string {
	return state.ContainerName(e.Prefix, part, slug)
}

// Network is the name of one of a bottle's networks: net or egress.
func (e *Env) Network(kind, slug string) string { return e.Prefix + "-" + kind + "-" + slug }

// Docker runs the docker CLI, as a person would who interferes, and returns what it prints.
func (e *Env) Docker(args ...string) string {
	e.tb.Helper()
	out, err := e.DockerCommand(args...).CombinedOutput()
	if err != nil {
		e.tb.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// DockerCommand prepares a docker CLI process that talks to the Env's engine.
func (e *Env) DockerCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), mark, "DOCKER_HOST="+e.Client.DaemonHost())
	return cmd
}

// Agent runs the demo program in the agent of a bottle and returns what it prints and its exit code.
func (e *Env) Agent(slug string, args ...string) (string, int) {
	e.tb.Helper()
	return e.Exec(e.Name(state.Agent, slug), args...)
}

// Exec runs the demo program in a container.
func (e *Env) Exec(name string, args ...string) (string, int) {
	e.tb.Helper()
	cmd := e.DockerCommand(append([]string{"exec", name, "/" + demoName}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		e.tb.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

var imagesOnce built

// AgentImage is an image of the demo program, of this test process's own.
var AgentImage = agentRepository + ":latest"

var agentRepository = "bottled-test-" + runID + "/" + demoName

// demoName is the demo program's name in AgentImage.
const demoName = "bottled-demo"
