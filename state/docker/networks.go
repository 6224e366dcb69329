package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"github.com/bot-bottle/bottled/state"
)

// Driver options that keep the host's address off a bridge. Engines from 28 (API 1.48) on have a mode for it;
// older ones have inhibit_ipv4, which has the same effect (measured on 20.10).
const (
	optInhibitIPv4 = "com.docker.network.bridge.inhibit_ipv4"
	optGatewayMode = "com.docker.network.bridge.gateway_mode_ipv4"
	apiIsolated    = "1.48"
)

// Networks lists all networks.
func (e *Engine) Networks(ctx context.Context) ([]state.ObservedNetwork, error) {
	list, err := e.client.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, wrap(err, "list networks")
	}
	found := make([]state.ObservedNetwork, 0, len(list))
	for _, n := range list {
		found = append(found, fromNetwork(n))
	}
	return found, nil
}

func fromNetwork(n network.Summary) state.ObservedNetwork {
	o := state.ObservedNetwork{ID: n.ID, Network: state.Network{
		Name: n.Name, Internal: n.Internal, IPv6: n.EnableIPv6, Labels: n.Labels,
		Isolated: n.Options[optInhibitIPv4] == "true" || n.Options[optGatewayMode] == "isolated",
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

// CreateNetwork creates a bridge network.
func (e *Engine) CreateNetwork(ctx context.Context, n state.Network) error {
	options := map[string]string{}
	if n.Isolated {
		options[optInhibitIPv4] = "true"
		if versions.GreaterThanOrEqualTo(e.client.ClientVersion(), apiIsolated) {
			options = map[string]string{optGatewayMode: "isolated"}
		}
	}
	_, err := e.client.NetworkCreate(ctx, n.Name, network.CreateOptions{
		Driver: "bridge", Internal: n.Internal, Options: options, Labels: n.Labels,
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: n.Subnet.String()}}},
	})
	if err != nil && strings.Contains(err.Error(), "Pool overlaps") { // the engine has no error type for it
		return fmt.Errorf("create network %s with %s: %w: %w", n.Name, n.Subnet, state.ErrConflict, err)
	}
	return wrap(err, "create network %s", n.Name)
}

// RemoveNetwork removes a network; a missing one is success.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return wrap(ignoreNotFound(e.client.NetworkRemove(ctx, id)), "remove network %s", id)
}

// NetworkMembers names the containers on a network.
func (e *Engine) NetworkMembers(ctx context.Context, id string) ([]string, error) {
	n, err := e.client.NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return nil, wrap(err, "inspect network %s", id)
	}
	var names []string
	for _, c := range n.Containers {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names, nil
}

// Connect attaches a container.
func (e *Engine) Connect(ctx context.Context, networkName, id string, aliases []string) error {
	err := e.client.NetworkConnect(ctx, networkName, id, &network.EndpointSettings{Aliases: aliases})
	return wrap(err, "connect to network %s", networkName)
}

// Disconnect detaches a container, if it is attached.
func (e *Engine) Disconnect(ctx context.Context, networkName, id string) error {
	err := wrap(ignoreNotFound(e.client.NetworkDisconnect(ctx, networkName, id, true)), "disconnect from network %s", networkName)
	if err != nil && !errors.Is(err, state.ErrNotFound) && strings.Contains(err.Error(), "is not connected to") {
		return nil
	}
	return err
}
