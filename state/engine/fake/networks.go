package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

type network struct {
	id   string
	spec state.Network
}

func (n *network) observed() engine.ObservedNetwork {
	spec := n.spec
	spec.Labels = cloneMap(n.spec.Labels)
	return engine.ObservedNetwork{ID: n.id, Network: spec, Subnets: []netip.Prefix{spec.Subnet}}
}

// network returns a network by ID or name. The lock is held.
func (e *Engine) network(ref string) *network {
	if n := e.networks[ref]; n != nil {
		return n
	}
	for _, n := range e.networks {
		if n.spec.Name == ref {
			return n
		}
	}
	return nil
}

// Networks lists all networks.
func (e *Engine) Networks(ctx context.Context) ([]engine.ObservedNetwork, error) {
	var found []engine.ObservedNetwork
	err := e.read(ctx, func() error {
		for _, id := range slices.Sorted(maps.Keys(e.networks)) {
			found = append(found, e.networks[id].observed())
		}
		return nil
	})
	return found, err
}

// CreateNetwork refuses a name or a subnet in use.
func (e *Engine) CreateNetwork(ctx context.Context, spec state.Network) (made engine.ObservedNetwork, err error) {
	err = e.write(ctx, func() error {
		for _, n := range e.networks {
			if n.spec.Name == spec.Name || n.spec.Subnet.Overlaps(spec.Subnet) {
				return fmt.Errorf("create network %s with %s: %w", spec.Name, spec.Subnet, engine.ErrConflict)
			}
		}
		n := &network{id: e.id("a"), spec: spec}
		e.networks[n.id] = n
		made = n.observed()
		return nil
	})
	return made, err
}

var errActiveEndpoints = errors.New("it has active endpoints")

// RemoveNetwork refuses a network with containers that run.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return e.write(ctx, func() error {
		n := e.network(id)
		if n == nil {
			return nil
		}
		if len(e.members(n)) > 0 {
			return fmt.Errorf("remove network %s: %w", n.spec.Name, errActiveEndpoints)
		}
		delete(e.networks, n.id)
		e.emit(engine.EventRemoved, nil, n.spec.Name)
		return nil
	})
}

// members names the containers that run on a network.
func (e *Engine) members(n *network) []string {
	var names []string
	for _, c := range e.containers {
		for _, a := range c.attached {
			if a.network == n && c.live() {
				names = append(names, c.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// NetworkMembers names the containers on a network.
func (e *Engine) NetworkMembers(ctx context.Context, id string) (names []string, err error) {
	err = e.read(ctx, func() error {
		n := e.network(id)
		if n == nil {
			return fmt.Errorf("network %s: %w", id, engine.ErrNotFound)
		}
		names = e.members(n)
		return nil
	})
	return names, err
}

// Connect attaches a container. One that is attached stays as it is.
func (e *Engine) Connect(ctx context.Context, id string, a state.Attachment) error {
	return e.write(ctx, func() error { return e.connect(id, a) })
}

func (e *Engine) connect(id string, to state.Attachment) error {
	networkRef := to.Network
	c, err := e.find(id)
	if err != nil {
		return err
	}
	n := e.network(networkRef)
	if n == nil && c.run.state == engine.StateCreated {
		n = &network{spec: state.Network{Name: networkRef}} // it is found at the start
	}
	if n == nil {
		return fmt.Errorf("connect to network %s: %w", networkRef, engine.ErrNotFound)
	}
	for _, a := range c.attached {
		if a.network == n {
			return nil
		}
	}
	c.attached = append(c.attached, endpoint{network: n, aliases: to.Aliases, links: to.Links})
	if c.live() {
		c.attached[len(c.attached)-1].id = e.id("f")
		e.emit(engine.EventConnected, c, n.spec.Name)
	}
	return nil
}

// Disconnect detaches a container. A network that is gone can still be detached from, by its name.
func (e *Engine) Disconnect(ctx context.Context, networkRef, id string) error {
	return e.write(ctx, func() error { return e.disconnect(networkRef, id) })
}

func (e *Engine) disconnect(networkRef, id string) error {
	c, err := e.find(id)
	if err != nil {
		return nil //nolint:nilerr // not being attached is success
	}
	before := len(c.attached)
	c.attached = slices.DeleteFunc(slices.Clone(c.attached), func(a endpoint) bool {
		return a.network.id == networkRef || a.network.spec.Name == networkRef
	})
	if len(c.attached) < before && c.live() {
		e.emit(engine.EventDisconnected, c, networkRef)
	}
	return nil
}
