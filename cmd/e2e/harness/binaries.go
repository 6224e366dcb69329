package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// Binary builds the static executable of bottled, once a process.
func Binary(tb testing.TB) string {
	tb.Helper()
	return Program(tb, "cmd/bottled")
}

// DemoBinary builds the static executable of the demo's agent and upstream, once a process.
func DemoBinary(tb testing.TB) string {
	tb.Helper()
	return Program(tb, "cmd/demo/bottled-demo")
}

type built struct {
	sync.Once
	path string
	err  error
}

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

// programs are those that were built, by the path of their package.
var programs sync.Map

// Program builds the static executable of a package, given by its path in this module, once a process.
func Program(tb testing.TB, pkg string) string {
	tb.Helper()
	once, _ := programs.LoadOrStore(pkg, &built{})
	b := once.(*built) //nolint:forcetypeassert // nothing else is stored
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
		if err := copyFile(tmp, b.path); err != nil && !errors.Is(err, fs.ErrNotExist) { // go build links nothing that is up to date
			b.err = err
			return
		}
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

// copyFile makes an executable.
func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755) //nolint:gosec // it is to be run
}
