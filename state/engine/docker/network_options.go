package docker

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Options of the bridge driver that affect what a network's containers can reach, and who can reach them.
const (
	optBridgeName  = "com.docker.network.bridge.name"
	optDefault     = "com.docker.network.bridge.default_bridge"
	optICC         = "com.docker.network.bridge.enable_icc"
	optMasquerade  = "com.docker.network.bridge.enable_ip_masquerade"
	optInhibitIPv4 = "com.docker.network.bridge.inhibit_ipv4"
	optGatewayIPv4 = "com.docker.network.bridge.gateway_mode_ipv4"
	optGatewayIPv6 = "com.docker.network.bridge.gateway_mode_ipv6"
	optTrusted     = "com.docker.network.bridge.trusted_host_interfaces"
	optEnableIPv4  = "com.docker.network.enable_ipv4"
	optEnableIPv6  = "com.docker.network.enable_ipv6"

	gatewayIsolated = "isolated"
)

// apiIsolated is the first API version (engine 28) whose bridges have the gateway mode "isolated", which leaves the host
// without an address on the network, and which reports whether a network has IPv4. Older engines have inhibit_ipv4, which
// has the same effect on internal networks (measured on 20.10).
const apiIsolated = "1.48"

// driverDefaults are the driver's defaults for missing options.
var driverDefaults = map[string]string{
	optBridgeName: "", optDefault: "false", optICC: "true", optMasquerade: "true", optTrusted: "",
	optInhibitIPv4: "false", optGatewayIPv4: "nat", optGatewayIPv6: "nat", optEnableIPv4: "true", optEnableIPv6: "false",
}

// harmlessOptions are not compared: they don't affect isolation, and operators have reasons to set them for all networks.
var harmlessOptions = []string{
	"com.docker.network.driver.mtu",               // a link's packet size
	"com.docker.network.container_iface_prefix",   // the interface's name in the container
	"com.docker.network.host_ipv4",                // the source address of what leaves the host
	"com.docker.network.host_ipv6",                // the same, for IPv6, which is off
	"com.docker.network.bridge.host_binding_ipv4", // of published ports, and none is published
}

// networkOptions returns a complete set of options, since a missing one would get its value from default-network-opts in the engine's
// daemon.json.
func networkOptions(n state.Network, version string) network.CreateOptions {
	options := maps.Clone(driverDefaults)
	switch {
	case n.Isolated && versions.GreaterThanOrEqualTo(version, apiIsolated):
		options[optGatewayIPv4] = gatewayIsolated
	case n.Isolated:
		options[optInhibitIPv4] = "true"
	}
	on, off := true, false
	return network.CreateOptions{
		Driver: "bridge", Scope: "local", EnableIPv4: &on, EnableIPv6: &off, Internal: n.Internal, Options: options, Labels: n.Labels,
		IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: n.Subnet.String()}}},
	}
}

func fromNetwork(n network.Inspect, version string) engine.ObservedNetwork {
	o := engine.ObservedNetwork{ID: n.ID, Network: state.Network{
		Name: n.Name, Internal: n.Internal, IPv6: n.EnableIPv6, Labels: n.Labels,
		Isolated: n.Options[optInhibitIPv4] == "true" || n.Options[optGatewayIPv4] == gatewayIsolated,
		Extras:   networkExtras(n, version),
	}}
	for _, c := range n.IPAM.Config {
		p, err := netip.ParsePrefix(c.Subnet)
		if err != nil {
			continue // drivers without subnets (host, null) have none to parse
		}
		o.Subnets = append(o.Subnets, p)
		if p.Addr().Is4() {
			o.Subnet = p
		}
	}
	return o
}

// networkExtras lists the settings that bottled never makes and that may affect isolation.
func networkExtras(n network.Inspect, version string) []string {
	var found []string
	add := func(differs bool, setting, value string) {
		if differs {
			found = append(found, setting+"="+value)
		}
	}
	add(n.Driver != "bridge", "driver", n.Driver)
	add(n.Scope != "local", "scope", n.Scope)
	add(versions.GreaterThanOrEqualTo(version, apiIsolated) && !n.EnableIPv4, "ipv4", "false")
	add(n.Attachable, "attachable", "true")
	add(n.Ingress, "ingress", "true")
	add(n.ConfigOnly, "config-only", "true")
	add(n.ConfigFrom.Network != "", "config-from", n.ConfigFrom.Network)
	add(n.IPAM.Driver != "default" && n.IPAM.Driver != "", "ipam-driver", n.IPAM.Driver)
	for name, value := range n.IPAM.Options {
		add(true, "ipam-opt "+name, value)
	}
	for i, c := range n.IPAM.Config {
		add(i > 0, "subnet", c.Subnet)
		add(c.IPRange != "", "ip-range", c.IPRange)
		for name, address := range c.AuxAddress {
			add(true, "aux-address "+name, address)
		}
	}
	for name, value := range n.Options {
		add(!optionAllowed(name, value), name, value)
	}
	slices.Sort(found)
	return found
}

// optionAllowed reports whether an option has a value of bottled's own networks. Of the two options that differ between a bottle's
// networks it allows both values: Network.Isolated compares those.
func optionAllowed(name, value string) bool {
	switch name {
	case optInhibitIPv4:
		return value == "true" || value == "false"
	case optGatewayIPv4, optGatewayIPv6:
		return value == "nat" || value == gatewayIsolated
	}
	standard, known := driverDefaults[name]
	return known && strings.EqualFold(value, standard) || slices.Contains(harmlessOptions, name)
}
