package fake

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/conformance"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

// TestConformance holds the engine in memory to what the real one does.
func TestConformance(t *testing.T) {
	settings := state.Settings{
		Owner: "o", Prefix: "p", StateDir: "/var/lib/bottled", RunDir: "/run/bottled/x", Pool: netip.MustParsePrefix("10.213.1.0/24"),
		BuiltinImage: "bottled:1", User: "65532:65532",
	}
	ends := []string{"true"}
	e := New(Options{
		Settings: settings, Latency: time.Millisecond, EndShownAfter: 20 * time.Millisecond, PauseShownAfter: 5 * time.Millisecond,
		Images: map[string]engine.ImageDefaults{"agent:1": {Command: []string{"sleep"}}, "bottled:1": {}},
		Program: func(c state.Container) Program {
			switch {
			case len(c.Entrypoint) > 0 && strings.HasSuffix(c.Entrypoint[0], conformance.NoCommand):
				return Program{StartError: engine.ErrNoCommand}
			case len(c.Entrypoint) > 0 && c.Entrypoint[0] == conformance.Directory:
				return Program{StartError: engine.ErrNotExecutable}
			case slices.Equal(c.Command, ends):
				return Program{EndsAfter: time.Millisecond}
			case c.Labels[state.LabelRole] == string(state.Pipelock):
				return Program{Boot: time.Millisecond, Reload: time.Millisecond, Config: func(mounted map[string]map[string][]byte) (string, error) {
					return configdigest.Of(mounted["/etc/pipelock"]), nil
				}}
			}
			return Program{}
		},
	})
	conformance.Run(t, conformance.Subject{
		Engine: e, Settings: settings, Hands: e.Hands(), Agent: "agent:1", Waits: []string{"sleep"}, Ends: ends, Within: 5 * time.Second,
		Bottle: rendered(t, settings, "example.com"), Changed: rendered(t, settings, "example.org"),
	})
}

func rendered(t *testing.T, s state.Settings, host string) state.Bottle {
	t.Helper()
	m := v1alpha1.Bottle{Metadata: v1alpha1.Metadata{Name: "reload"}, Spec: v1alpha1.Spec{Egress: v1alpha1.Egress{Allowlist: v1alpha1.Allow(host)}}}
	nets := state.Subnets{Internal: netip.MustParsePrefix("10.213.1.32/28"), Egress: netip.MustParsePrefix("10.213.1.48/28")}
	b, err := render.Bottle(m, resolve.Inputs{Hosts: []string{host}}, nets, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
