package e2e

import (
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/conformance"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

// dockerHands are other people with the docker CLI.
type dockerHands struct{}

func (dockerHands) Pause(name string) error  { return exec.Command("docker", "pause", name).Run() }
func (dockerHands) Kill(name string) error   { return exec.Command("docker", "kill", name).Run() }
func (dockerHands) Remove(name string) error { return exec.Command("docker", "rm", "-f", name).Run() }

// TestConformance holds the real engine to what the engine in memory claims.
func TestConformance(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image, err := selfimage.Of(harness.Binary(t), "bottled")
	if err != nil {
		t.Fatal(err)
	}
	pool := netip.MustParsePrefix(e.Pool)
	settings := state.Settings{
		Owner: e.Owner, Prefix: e.Prefix, StateDir: e.StateDir, RunDir: e.RunDir, Pool: pool,
		BuiltinImage: image.Ref, User: "65532:65532",
	}
	engine, err := docker.Connect(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := image.Load(t.Context(), engine); err != nil {
		t.Fatal(err)
	}
	rendered := func(host string) state.Bottle {
		m := v1alpha1.Bottle{Metadata: v1alpha1.Metadata{Name: "reload"}, Spec: v1alpha1.Spec{Egress: v1alpha1.Egress{Allowlist: v1alpha1.Allow(host)}}}
		base := pool.Masked().Addr().As4()
		base[3] = 32
		internal := netip.PrefixFrom(netip.AddrFrom4(base), 28)
		base[3] = 48
		b, err := render.Bottle(m, resolve.Inputs{Hosts: []string{host}}, state.Subnets{Internal: internal, Egress: netip.PrefixFrom(netip.AddrFrom4(base), 28)}, settings)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	conformance.Run(t, conformance.Subject{
		Engine: engine, Settings: settings, Hands: dockerHands{}, Agent: harness.AgentImage, Waits: []string{"agent"}, Ends: []string{"fetch", "--help"}, Within: 20 * time.Second,
		Bottle: rendered("example.com"), Changed: rendered("example.org"),
	})
}
