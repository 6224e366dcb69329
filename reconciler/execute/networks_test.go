package execute

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// altering is an engine that makes networks otherwise than asked, and knows nothing else: any other call panics.
type altering struct {
	engine.Engine
	alter   func(*engine.ObservedNetwork)
	created int
	exist   map[string]bool
}

func (a *altering) CreateNetwork(_ context.Context, n state.Network) (engine.ObservedNetwork, error) {
	a.created++
	a.exist[n.Name] = true
	made := engine.ObservedNetwork{ID: n.Name, Network: n, Subnets: []netip.Prefix{n.Subnet}}
	a.alter(&made)
	return made, nil
}

func (a *altering) RemoveNetwork(_ context.Context, id string) error {
	delete(a.exist, id)
	return nil
}

// TestEngineOpensNetworks: an engine whose daemon.json opens networks makes one, once, and nothing is started on it.
func TestEngineOpensNetworks(t *testing.T) {
	for says, alter := range map[string]func(*engine.ObservedNetwork){
		"ipv6 is true, want false":                   func(n *engine.ObservedNetwork) { n.IPv6 = true },
		"internal is false, want true":               func(n *engine.ObservedNetwork) { n.Internal = false },
		"isolated from the host is false, want true": func(n *engine.ObservedNetwork) { n.Isolated = false },
		`extras is ["gateway_mode=routed"], want []`: func(n *engine.ObservedNetwork) { n.Extras = []string{"gateway_mode=routed"} },
		"subnet is 10.9.0.0/28, want 10.213.0.0/28":  func(n *engine.ObservedNetwork) { n.Subnet = netip.MustParsePrefix("10.9.0.0/28") },
		`extras is ["subnet=fd00::/64"], want []`:    func(n *engine.ObservedNetwork) { n.Extras = []string{"subnet=fd00::/64"} },
		`extras is ["ipv4=false" "x=y"], want []`:    func(n *engine.ObservedNetwork) { n.Extras = []string{"x=y", "ipv4=false"} },
	} {
		engine := &altering{alter: alter, exist: map[string]bool{}}
		x := &Executor{Engine: engine, Parallel: 1, OnProgress: func(Progress) {}}
		n := state.Network{Name: "net", Internal: true, Isolated: true, Subnet: netip.MustParsePrefix("10.213.0.0/28")}
		err := x.Bottle(t.Context(), plan.BottlePlan{Slug: "dev", Steps: []plan.Step{
			{Action: plan.CreateNetwork, Object: "net", Network: n},
			{ID: 1, After: []int{0}, Action: plan.Create, Component: state.Pipelock, Object: "pipelock"}, // panics when it is reached
		}})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "default-network-opts") {
			t.Errorf("%v\nwant: %s", err, says)
		}
		if engine.created != 1 || len(engine.exist) > 0 {
			t.Errorf("%s: created %d times; left: %v", says, engine.created, engine.exist)
		}
	}
}
