// Package enginetest lets tests run the real bottled against a real Docker engine. Everything a test makes
// bears an owner label of its own, and goes with the test, also when the test fails or its process is killed;
// nothing else on the engine is touched.
package enginetest

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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// runID marks everything that this test process makes.
var runID = "t" + randomHex(4)

// watchdogEnv turns the test binary into the watchdog of another one.
const watchdogEnv = "BOTTLED_TEST_WATCHDOG"

// watchdogInput tells the watchdog what to remove in the end: lines of a kind (image, directory, engine) and a name.
var watchdogInput io.Writer = io.Discard

// mark is in the environment of every process that a test starts, so that the watchdog finds those that outlive it.
var mark = "BOTTLED_TEST_RUN=" + runID

// Main runs a package's tests and removes what they left, even when the process is killed: a second process waits for
// the end of this one. Use it from TestMain.
func Main(m *testing.M) {
	if id := os.Getenv(watchdogEnv); id != "" {
		left, _ := io.ReadAll(os.Stdin) // until the tests' process is gone
		if err := sweep(id, string(left)); err != nil {
			fmt.Fprintln(os.Stderr, "enginetest: clean up:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	wait, err := watchdog()
	if err != nil {
		fmt.Fprintln(os.Stderr, "enginetest: start the watchdog:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := wait(); err != nil {
		fmt.Fprintln(os.Stderr, "enginetest: clean up:", err)
		code = 1
	}
	os.Exit(code)
}

func watchdog() (wait func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), watchdogEnv+"="+runID)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	watchdogInput = stdin
	return func() error { return errors.Join(stdin.Close(), cmd.Wait()) }, nil
}

// sweep ends the processes of one test process and removes its containers and networks, and what it told the watchdog.
func sweep(id, left string) error {
	told := map[string][]string{}
	for line := range strings.Lines(left) {
		kind, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		told[kind] = append(told[kind], name)
	}
	// The processes first, since a controller would make again what is removed; then the containers, which write into
	// the directories.
	failed := []error{killMarked("BOTTLED_TEST_RUN=" + id), sweepEngine(id, told["image"])}
	for _, dir := range told["engine"] {
		failed = append(failed, removeEngine(dir))
	}
	for _, dir := range told["directory"] {
		failed = append(failed, os.RemoveAll(dir))
	}
	return errors.Join(failed...)
}

// sweepEngine removes from the default engine what one test process made there.
func sweepEngine(id string, images []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Ping(ctx); err != nil {
		return nil //nolint:nilerr // without an engine there is nothing on it
	}
	failed := []error{removeOwned(ctx, c, func(owner string) bool { return strings.HasPrefix(owner, id) }), removeBuilt(ctx, c, id)}
	for _, ref := range images {
		// Without force: an image that somebody else's container uses stays.
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// killMarked kills every process with an entry in its environment, and waits until none is left.
func killMarked(entry string) error {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found, err := marked(entry)
		if err != nil || len(found) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of a test can't be killed", found)
		}
		for _, pid := range found {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
	}
}

func marked(entry string) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended, or is another user's and so not a test's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), entry) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func removeOwned(ctx context.Context, c *client.Client, mine func(owner string) bool) error {
	all, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", state.LabelOwner))})
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range all {
		if mine(s.Labels[state.LabelOwner]) {
			if err := c.ContainerRemove(ctx, s.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !errdefs.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
	}
	nets, err := c.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("label", state.LabelOwner))})
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	for _, n := range nets {
		if mine(n.Labels[state.LabelOwner]) {
			if err := c.NetworkRemove(ctx, n.ID); err != nil && !errdefs.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

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
		Manifests: filepath.Join(dir, "manifests"), Pool: randomPool(),
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

// randomPool is a /20 (128 bottles) that the engine and its default pools leave alone.
func randomPool() string {
	b := make([]byte, 2)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("10.%d.%d.0/20", 64+b[0]%64, b[1]&0xf0)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

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
	return e.Prefix + "-" + string(part) + "-" + slug
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

// Binary builds the static executable of bottled, once a process.
func Binary(tb testing.TB) string {
	tb.Helper()
	return build(tb, "cmd/bottled", &bottledOnce)
}

// DemoBinary builds the static executable of the demo's agent and upstream, once a process.
func DemoBinary(tb testing.TB) string {
	tb.Helper()
	return build(tb, "cmd/demo", &demoOnce)
}

type built struct {
	sync.Once
	path string
	err  error
}

var bottledOnce, demoOnce, attackerOnce, imagesOnce built

// AgentImage is an image of the demo program, of this test process's own.
var AgentImage = agentRepository + ":latest"

var agentRepository = "bottled-test-" + runID + "/" + demoName

// demoName is the demo program's name in AgentImage.
const demoName = "bottled-demo"

// loadOnce loads AgentImage, and has the watchdog remove in the end what this process added to the engine's images.
func loadOnce(tb testing.TB, c *client.Client) {
	tb.Helper()
	bottled, demo := Binary(tb), DemoBinary(tb) // not below: what fails the test there would count as done
	imagesOnce.Do(func() {
		ctx := context.Background()
		builtin, err := selfimage.Of(bottled, "bottled")
		if err != nil {
			imagesOnce.err = err
			return
		}
		if _, err := c.ImageInspect(ctx, builtin.Ref); errdefs.IsNotFound(err) {
			fmt.Fprintln(watchdogInput, "image", builtin.Ref)
		}
		agent, err := selfimage.Of(demo, agentRepository)
		if err != nil {
			imagesOnce.err = err
			return
		}
		fmt.Fprintln(watchdogInput, "image", agent.Ref)
		fmt.Fprintln(watchdogInput, "image", AgentImage)
		engine, err := docker.Connect(ctx, state.Settings{})
		if err != nil {
			imagesOnce.err = err
			return
		}
		defer engine.Close()
		imagesOnce.err = errors.Join(agent.Load(ctx, engine), c.ImageTag(ctx, agent.Ref, AgentImage))
	})
	if imagesOnce.err != nil {
		tb.Fatal(imagesOnce.err)
	}
}

// build builds the program of a package, given by its path in this module.
func build(tb testing.TB, pkg string, b *built) string {
	tb.Helper()
	b.Do(func() {
		// Not the test's own directory: it outlives the test. The path is the same in every process of one source tree, so that
		// nothing piles up, and two trees don't test each other's executables.
		module, err := exec.Command("go", "env", "GOMOD").Output()
		if b.err = err; err != nil {
			return
		}
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("bottled-test-bin-%d-%s", os.Getuid(), state.Digest(string(module))))
		if b.err = os.MkdirAll(dir, 0o700); b.err != nil {
			return
		}
		b.path = filepath.Join(dir, filepath.Base(pkg))
		tmp := b.path + "-" + runID
		cmd := exec.Command("go", "build", "-trimpath", "-o", tmp, "github.com/bot-bottle/bottled/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("go build: %w\n%s", err, out)
			return
		}
		b.err = os.Rename(tmp, b.path)
	})
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return b.path
}
