package docker

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/docker/docker/api/types/network"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// harmlessOfNetworks are the fields of an inspected network in which a change is no drift, and why. All others must be seen.
var harmlessOfNetworks = map[string]string{
	"Name": "the engine's; networks are found by it", "ID": "the engine's",
	"Containers": "each container's own endpoints are compared", "Labels": "networks are found by them", "Peers": "of other drivers",
	"Services": "of Swarm", "IPAM.Config[0].Gateway": "the engine's choice in the subnet",
}

var testNetworks = []state.Network{
	{Name: "net", Internal: true, Isolated: true, Subnet: netip.MustParsePrefix("10.213.0.0/28")},
	{Name: "egress", Subnet: netip.MustParsePrefix("10.213.0.16/28")},
}

// made is what an engine shows of a network that it made as asked, with its own default-network-opts where nothing is said.
func made(n state.Network, version string, defaults map[string]string) network.Inspect {
	asked := networkOptions(n, version)
	options := maps.Clone(defaults)
	if options == nil {
		options = map[string]string{}
	}
	maps.Copy(options, asked.Options)
	return network.Inspect{
		ID: "id", Name: n.Name, Driver: asked.Driver, Scope: asked.Scope, Internal: asked.Internal, Options: options, IPAM: *asked.IPAM,
		EnableIPv6: asked.EnableIPv6 == nil && defaults[optEnableIPv6] == "true" || asked.EnableIPv6 != nil && *asked.EnableIPv6,
		EnableIPv4: asked.EnableIPv4 == nil || *asked.EnableIPv4,
	}
}

func TestEveryFieldOfAnInspectedNetwork(t *testing.T) {
	for _, n := range testNetworks {
		for _, version := range []string{"1.41", "1.48"} {
			shown := func() network.Inspect { return made(n, version, nil) }
			drift := func(i network.Inspect) bool { return len(observe.DiffNetwork(n, fromNetwork(i, version))) > 0 }
			if drift(shown()) {
				t.Fatalf("%s as declared: %v", n.Name, observe.DiffNetwork(n, fromNetwork(shown(), version)))
			}
			harmless := maps.Clone(harmlessOfNetworks)
			if version == "1.41" {
				harmless["EnableIPv4"] = "not reported by this version"
			}
			changeEach(t, harmless, shown, drift)
		}
	}
}

// TestDefaultNetworkOpts has an engine's daemon.json switch everything on for bridges: none of it reaches a network of bottled.
func TestDefaultNetworkOpts(t *testing.T) {
	hostile := map[string]string{
		optEnableIPv4: "false", optEnableIPv6: "true", optBridgeName: "docker0", optDefault: "true", optICC: "false", optMasquerade: "false",
		optInhibitIPv4: "true", optGatewayIPv4: "routed", optGatewayIPv6: "routed", optTrusted: "wan0",
	}
	mtu := map[string]string{"com.docker.network.driver.mtu": "1400"}
	for _, n := range testNetworks {
		for _, version := range []string{"1.41", "1.44", "1.48", "1.52"} {
			for _, defaults := range []map[string]string{hostile, mtu} {
				if d := observe.DiffNetwork(n, fromNetwork(made(n, version, defaults), version)); len(d) > 0 {
					t.Errorf("%s, API %s, defaults %v: %v", n.Name, version, defaults, d)
				}
			}
			unknown := made(n, version, map[string]string{"com.docker.network.bridge.new": "on"})
			if d := observe.DiffNetwork(n, fromNetwork(unknown, version)); len(d) != 1 || d[0].Before != `["com.docker.network.bridge.new=on"]` {
				t.Errorf("%s, API %s, an option that bottled does not know: %v", n.Name, version, d)
			}
		}
	}
	for name, value := range hostile {
		if _, is := driverDefaults[name]; !is {
			t.Errorf("%s is left to the engine", name)
		}
		shown := made(testNetworks[1], "1.48", nil)
		shown.Options[name] = value
		if len(observe.DiffNetwork(testNetworks[1], fromNetwork(shown, "1.48"))) == 0 {
			t.Errorf("an engine that sets %s=%s all the same is not noticed", name, value)
		}
	}
}

// TestNetworksOfOlderVersions: networks that said less, and those of an engine that was upgraded since, are kept.
func TestNetworksOfOlderVersions(t *testing.T) {
	for _, options := range []map[string]string{{optInhibitIPv4: "true"}, {optGatewayIPv4: gatewayIsolated}} {
		shown := made(testNetworks[0], "1.48", nil)
		shown.Options = options
		if d := observe.DiffNetwork(testNetworks[0], fromNetwork(shown, "1.52")); len(d) > 0 {
			t.Errorf("options %v: %v", options, d)
		}
	}
}
