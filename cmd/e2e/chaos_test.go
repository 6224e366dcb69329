package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// chaosTime is how long TestChaos goes on: a smoke test of what runs by seed on the engine in memory, and long every night.
func chaosTime() time.Duration {
	if nightly() {
		return 10 * time.Minute
	}
	return 5 * time.Second
}

// TestChaos does at random what people, programs and accidents do: edit manifests well and badly, remove them, rotate a
// token, stop, remove, pause, rename, connect, change containers, kill the controller. Whatever happened, in the end all
// is as declared.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	x := &chaos{t: t, e: harness.New(t), rand: rand.New(rand.NewPCG(seed, 0)), slugs: []string{"a", "b", "c"}}
	x.e.Write("token", "token-0")
	for _, slug := range x.slugs {
		x.e.Write(slug+".yaml", x.manifest(slug))
	}
	controller := x.e.Controller("--resync", "1h")
	deeds := []func(){
		x.edit, x.edit, x.breakOff, x.remove, x.rotate, x.container, x.container, x.container, x.container,
		func() {
			controller.Signal([]os.Signal{syscall.SIGKILL, syscall.SIGTERM}[x.rand.IntN(2)])
			if _, ended := controller.Wait(time.Minute); !ended {
				t.Fatal("the controller does not end")
			}
			controller = x.e.Controller("--resync", "1h")
		},
	}
	for end := time.Now().Add(chaosTime()); time.Now().Before(end); {
		deeds[x.rand.IntN(len(deeds))]()
		harness.Elapse(time.Duration(x.rand.IntN(800)) * time.Millisecond)
	}
	for _, slug := range x.slugs {
		x.e.Write(slug+".yaml", x.manifest(slug))
	}
	controller.Ready()
	settledReady(t, x.e, x.slugs...)
	asDeclared(t, x.e)
	if controller.LogCount("internal error") > 0 {
		t.Error("the controller met an internal error")
	}
}

type chaos struct {
	t     *testing.T
	e     *harness.Env
	rand  *rand.Rand
	slugs []string
}

func (x *chaos) slug() string { return x.slugs[x.rand.IntN(len(x.slugs))] }

// manifest declares a bottle with some parts and some allowlist.
func (x *chaos) manifest(slug string) string {
	m := strings.Replace(whole(slug), "docs.demo.example", fmt.Sprintf("host%d.demo.example", x.rand.IntN(100)), 1)
	if x.rand.IntN(2) == 0 {
		m = strings.Replace(m, "supervise: true", "supervise: false", 1)
	}
	if x.rand.IntN(2) == 0 {
		m, _, _ = strings.Cut(m, "  agent:")
	}
	return m
}

func (x *chaos) edit() {
	slug := x.slug()
	m := x.manifest(slug)
	if x.rand.IntN(4) == 0 {
		m += "  suspend: true\n"
	}
	if x.rand.IntN(2) == 0 {
		x.e.Write(slug+".yaml", m)
		return
	}
	hidden := x.e.Write("."+slug, m)
	x.must(os.Rename(hidden, filepath.Join(x.e.Manifests, slug+".yaml")))
}

// breakOff leaves a manifest half-written.
func (x *chaos) breakOff() {
	slug := x.slug()
	m := x.manifest(slug)
	x.e.Write(slug+".yaml", m[:x.rand.IntN(len(m))])
}

func (x *chaos) remove() {
	if err := os.Remove(filepath.Join(x.e.Manifests, x.slug()+".yaml")); !os.IsNotExist(err) {
		x.must(err)
	}
}

func (x *chaos) rotate() { x.e.Write("token", fmt.Sprintf("token-%d", x.rand.IntN(1000))) }

// container does something to one container. It may be gone by then, so that it fails.
func (x *chaos) container() {
	all := strings.Fields(owned(x.e))
	if len(all) == 0 {
		return
	}
	id := all[x.rand.IntN(len(all))]
	deeds := [][]string{
		{"rm", "-f", id},
		{"stop", "-t", "1", id},
		{"kill", id},
		{"pause", id},
		{"restart", "-t", "0", id},
		{"network", "connect", "bridge", id},
		{"update", "--pids-limit", "33", id},
		{"rename", id, fmt.Sprintf("%s-x%d", x.e.Prefix, x.rand.IntN(10_000))},
	}
	_ = exec.Command("docker", deeds[x.rand.IntN(len(deeds))]...).Run()
}

func (x *chaos) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}
