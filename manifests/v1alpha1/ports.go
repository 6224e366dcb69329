package v1alpha1

import (
	"net/netip"
	"strconv"
)

// PortsField is the path of Agent.Ports.
const PortsField = AgentField + ".ports"

// Port is a TCP port of the agent that the controller serves on the host. The agent's container publishes nothing.
type Port struct {
	Container int64 `json:"container" jsonschema_description:"The TCP port that the agent listens on, on an address that is not loopback."`
	// Host is an address and port; in a snapshot always, and in canonical form.
	Host string `json:"host,omitempty" jsonschema_description:"The address and port of this host to listen on, like 127.0.0.1:3000. Everybody who reaches it reaches the agent. Unset: 127.0.0.1 and the port of container."`
}

// DefaultHost is the host address of a port that names none.
func (p Port) DefaultHost() string { return "127.0.0.1:" + strconv.FormatInt(p.Container, 10) }

// Address parses Host.
func (p Port) Address() (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(p.Host)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), err
}

// ListensOn returns the ports of a bottle; none without an agent.
func (b Bottle) ListensOn() []Port {
	if b.Spec.Agent == nil {
		return nil
	}
	return b.Spec.Agent.Ports
}
