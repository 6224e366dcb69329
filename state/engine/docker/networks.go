package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Networks lists all networks of all owners.
func (e *Engine) Networks(ctx context.Context) ([]engine.ObservedNetwork, error) {
	list, err := e.client.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, wrap(err, "list networks")
	}
	found := make([]engine.ObservedNetwork, 0, len(list))
	for _, n := range list {
		found = append(found, fromNetwork(n, e.client.ClientVersion()))
	}
	return found, nil
}

// CreateNetwork creates a bridge network and reads it back.
func (e *Engine) CreateNetwork(ctx context.Context, n state.Network) (engine.ObservedNetwork, error) {
	version := e.client.ClientVersion()
	created, err := e.client.NetworkCreate(ctx, n.Name, networkOptions(n, version))
	if err != nil && strings.Contains(err.Error(), "Pool overlaps") { // the engine has no error type for it
		return engine.ObservedNetwork{}, fmt.Errorf("create network %s with %s: %w: %w", n.Name, n.Subnet, engine.ErrConflict, err)
	}
	if err != nil {
		return engine.ObservedNetwork{}, wrap(err, "create network %s", n.Name)
	}
	made, err := e.client.NetworkInspect(ctx, created.ID, network.InspectOptions{})
	if err != nil {
		return engine.ObservedNetwork{}, errors.Join(
			wrap(err, "inspect network %s", n.Name), e.RemoveNetwork(context.WithoutCancel(ctx), created.ID))
	}
	return fromNetwork(made, version), nil
}

// RemoveNetwork removes a network; a missing one is success.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return wrap(ignoreNotFound(e.client.NetworkRemove(ctx, id)), "remove network %s", id)
}

// NetworkMembers returns the names of the containers on a network.
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

func toEndpoint(a state.Attachment) *network.EndpointSettings {
	return &network.EndpointSettings{Aliases: a.Aliases, Links: a.Links}
}

// Connect attaches a container to a network.
func (e *Engine) Connect(ctx context.Context, id string, a state.Attachment) error {
	err := e.client.NetworkConnect(ctx, a.Network, id, toEndpoint(a))
	return wrap(err, "connect to network %s", a.Network)
}

// Disconnect detaches a container from a network; one that is not attached is success.
func (e *Engine) Disconnect(ctx context.Context, networkName, id string) error {
	err := wrap(ignoreNotFound(e.client.NetworkDisconnect(ctx, networkName, id, true)), "disconnect from network %s", networkName)
	if err != nil && !errors.Is(err, engine.ErrNotFound) && strings.Contains(err.Error(), "is not connected to") {
		return nil
	}
	return err
}
