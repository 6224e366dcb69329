package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
)

// Engine is a Docker engine of a test's own, to be stopped, restarted and frozen. It runs as the first process of
// namespaces of its own (processes, network, mounts): it can't touch the machine's firewall, bridges and other engine,
// and whatever it has started, mounted or bridged goes with it, however it ends. Its containers reach nothing outside, but
// what a test gives it (see Outside); its resolver is on the loopback address, where nobody answers unless a test does;
// and the process ids that it tells are those of its namespace.
type Engine struct {
	tb    testing.TB
	dir   string
	cmd   *exec.Cmd     // nil while it's stopped
	ended chan struct{} // closed when cmd has ended
}

// RemappedRoot is the user and group ID that root in a container is on the host, on an engine with userns-remap: dockremap.
const RemappedRoot = 300000

// boot prepares the namespaces and becomes the engine. What an engine keeps below /run is empty after every boot.
const boot = `set -e
mount -t proc proc /proc
mkdir -p /run/containerd "$1/exec"
mount -t tmpfs tmpfs /run/containerd
mount -t tmpfs tmpfs "$1/exec"
for file in "$1"/etc/*; do mount --bind "$file" "/etc/${file##*/}"; done
exec dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/exec/pid" \
  --host "unix://$1/d.sock" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$2" --log-level warn
`

// Times that an engine may take.
const (
	startLimit = time.Minute
	stopLimit  = 30 * time.Second // the engine itself gives its containers 15 s
)

// PrivateEngine starts an engine that ends with the test. It needs root and dockerd; without them the test fails: a
// real-engine test that is skipped proves nothing.
func PrivateEngine(tb testing.TB) *Engine {
	tb.Helper()
	return PrivateEngineWith(tb, nil)
}

// PrivateEngineWith is PrivateEngine with the settings of its daemon.json. The engine knows the user dockremap, to whose
// subordinate IDs userns-remap can map.
func PrivateEngineWith(tb testing.TB, daemon map[string]any) *Engine {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short leaves out the tests that need a Docker engine")
	}
	if _, err := exec.LookPath("dockerd"); err != nil || os.Geteuid() != 0 {
		tb.Fatalf("this test starts a Docker engine of its own, which takes root (user ID %d) and dockerd (%v)\n"+
			"Run it as root, and get dockerd with: task setup (on Debian or Ubuntu: apt-get install docker.io)", os.Geteuid(), err)
	}
	g := &Engine{tb: tb, dir: shortDir(tb, "engine")}
	tb.Cleanup(g.remove)
	if err := os.Chmod(g.dir, 0o711); err != nil { //nolint:gosec // the root of a remapped container passes through it
		tb.Fatal(err)
	}
	g.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
	for name, more := range map[string]string{ //nolint:gosec // lines of users without a password
		"passwd": "dockremap:x:64999:64999::/nonexistent:/usr/sbin/nologin\n", "group": "dockremap:x:64999:\n",
		"subuid": fmt.Sprintf("dockremap:%d:65536\n", RemappedRoot), "subgid": fmt.Sprintf("dockremap:%d:65536\n", RemappedRoot),
	} {
		machine, err := os.ReadFile("/etc/" + name)
		if err != nil {
			tb.Fatal(err)
		}
		g.write("etc/"+name, string(machine)+more)
	}
	g.configure(daemon)
	g.Start()
	return g
}

// Reconfigure restarts the engine with other settings in its daemon.json.
func (g *Engine) Reconfigure(daemon map[string]any) {
	g.tb.Helper()
	g.Stop()
	g.configure(daemon)
	g.Start()
}

// configure writes daemon.json. It is not the machine's own, whose options may contradict the flags.
func (g *Engine) configure(daemon map[string]any) {
	g.tb.Helper()
	if daemon == nil {
		daemon = map[string]any{}
	}
	config, err := json.Marshal(daemon)
	if err != nil {
		g.tb.Fatal(err)
	}
	g.write("daemon.json", string(config))
}

func (g *Engine) write(name, content string) {
	g.tb.Helper()
	path := filepath.Join(g.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // as in /etc
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644) //nolint:gosec // as in /etc
	}
	if err != nil {
		g.tb.Fatal(err)
	}
}

// Version is the engine's version and the highest API version that it speaks.
func (g *Engine) Version() (engine, api string) {
	g.tb.Helper()
	c := g.client()
	defer c.Close()
	v, err := c.ServerVersion(context.Background())
	if err != nil {
		g.tb.Fatal(err)
	}
	return v.Version, v.APIVersion
}

// Host is where the engine listens, in the form of DOCKER_HOST.
func (g *Engine) Host() string { return "unix://" + g.socket() }

func (g *Engine) socket() string { return filepath.Join(g.dir, "d.sock") }

// PID is the engine's process id, as the test sees it; 0 while it's stopped.
func (g *Engine) PID() int {
	if g.cmd == nil {
		return 0
	}
	return g.cmd.Process.Pid
}

// Start starts the engine, as a boot of its machine would, and waits until it answers.
func (g *Engine) Start() {
	g.tb.Helper()
	if g.cmd != nil {
		g.tb.Fatal("start the private engine: it is running")
	}
	log, err := os.OpenFile(g.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", boot, "sh", g.dir, cgroupOf(g.dir)) //nolint:gosec // a test's own directory
	cmd.Env = append(os.Environ(), mark)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		// Unlike Cloneflags, this keeps what is mounted inside from spreading to the machine.
		Unshareflags: syscall.CLONE_NEWNS,
	}
	if err := cmd.Start(); err != nil {
		g.tb.Fatalf("start the private engine: %v", err)
	}
	g.cmd, g.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(g.ended)
	g.awaitAnswer()
}

func (g *Engine) awaitAnswer() {
	g.tb.Helper()
	c := g.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		_, err := c.Ping(ctx)
		if err == nil {
			return
		}
		select {
		case <-g.ended:
			g.tb.Fatalf("the private engine ended while it started:\n%s", tail(g.log(), 20))
		case <-ctx.Done():
			g.tb.Fatalf("the private engine does not answer after %s: %v", startLimit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (g *Engine) client() *client.Client {
	g.tb.Helper()
	c, err := client.NewClientWithOpts(client.WithHost(g.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		g.tb.Fatal(err)
	}
	return c
}

// Stop ends the engine as a shutdown would, and with it its containers. What it stores stays.
func (g *Engine) Stop() {
	g.tb.Helper()
	g.signal(syscall.SIGTERM)
	g.Thaw()
	select {
	case <-g.ended:
		g.cmd = nil
	case <-time.After(stopLimit):
		g.tb.Fatalf("the private engine does not end after %s:\n%s", stopLimit, tail(g.log(), 20))
	}
}

// Freeze keeps the engine from answering. Its socket still takes connections, and its containers run on.
func (g *Engine) Freeze() {
	g.tb.Helper()
	g.signal(syscall.SIGSTOP)
}

// Thaw ends a Freeze.
func (g *Engine) Thaw() {
	g.tb.Helper()
	g.signal(syscall.SIGCONT)
}

func (g *Engine) signal(s syscall.Signal) {
	g.tb.Helper()
	if g.cmd == nil {
		g.tb.Fatalf("send %s to the private engine: it is stopped", s)
	}
	if err := g.cmd.Process.Signal(s); err != nil {
		g.tb.Fatalf("send %s to the private engine: %v\n%s", s, err, tail(g.log(), 20))
	}
}

func (g *Engine) log() string { return filepath.Join(g.dir, "dockerd.log") }

// tail is the end of a text file.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(data), lines)
}

func lastLines(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// remove kills the engine, and with it everything in its namespaces, and leaves nothing of it behind.
func (g *Engine) remove() {
	if g.tb.Failed() {
		g.tb.Logf("the private engine's log:\n%s", tail(g.log(), 30))
	}
	if g.cmd != nil {
		_ = g.cmd.Process.Kill() // fails only when it has ended
		<-g.ended
		g.cmd = nil
	}
	if err := removeEngine(g.dir); err != nil {
		g.tb.Errorf("remove the private engine: %v", err)
	}
}

// removeEngine removes what the processes of an ended private engine left. What they had mounted is unmounted a moment
// after the last of them is gone.
func removeEngine(dir string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := errors.Join(removeCgroups(cgroupOf(dir)), os.RemoveAll(dir))
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func cgroupOf(dir string) string { return "bottled-test-" + filepath.Base(dir) }

// removeCgroups removes a cgroup and those below it from every hierarchy.
func removeCgroups(name string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var failed []error
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup" || f[2] == "cgroup2" {
			failed = append(failed, removeCgroup(filepath.Join(f[1], name)))
		}
	}
	return errors.Join(failed...)
}

// removeCgroup removes directories only, innermost first: the files in them are the kernel's.
func removeCgroup(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// On moves the Env to another engine, which gets AgentImage. Use it before Proxy and before anything is run.
func (e *Env) On(engine *Engine) {
	e.tb.Helper()
	c := engine.client()
	e.must(copyImage(c, e.Client, AgentImage))
	e.Client = c
	e.Extra = append(e.Extra, "DOCKER_HOST="+engine.Host())
	e.tb.Cleanup(func() {
		defer c.Close()
		// Containers write into the Env's directories, which go next. Those of a stopped engine don't run.
		if engine.cmd == nil {
			return
		}
		engine.Thaw()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := removeOwned(ctx, c, func(o string) bool { return o == e.Owner }); err != nil {
			e.tb.Errorf("clean up: %v", err)
		}
	})
}

func copyImage(to, from *client.Client, ref string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	archive, err := from.ImageSave(ctx, []string{ref})
	if err != nil {
		return fmt.Errorf("save image %s: %w", ref, err)
	}
	defer archive.Close()
	loaded, err := to.ImageLoad(ctx, archive)
	if err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	_, err = io.Copy(io.Discard, loaded.Body)
	if err := errors.Join(err, loaded.Body.Close()); err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	// The engine tells a failure in the body, in a form of its own.
	if _, err := to.ImageInspect(ctx, ref); err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	return nil
}
