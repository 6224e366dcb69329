// Package contract holds the names, ports and paths that agents, scripts and other tools rely on: they are the same in every
// bottle. Manifests may not use them for anything else. It imports nothing of bottled's, so that manifests, the controller and
// the sidecars' programs read the same statement.
package contract

import (
	"net"
	"slices"
	"strconv"
)

// The names of the components: the alias on the internal network, and the role in labels and logs.
const (
	PipelockName  = "pipelock"
	CredProxyName = "cred-proxy"
	SuperviseName = "supervise"
	IngressName   = "ingress"
	AgentName     = "agent"
)

// Component is the contract of one component.
type Component struct {
	// Name is the DNS alias on the internal network and the role in labels, logs and container names.
	Name string
	// Port is where it listens on the internal network; 0 for nowhere.
	Port int
	// Reachable components are asked by the agent by name: a bottle that has one has its name on the allowlist, and pipelock
	// lets the name resolve into the internal network.
	Reachable bool
	// Direct components are asked by the agent without pipelock: their names are in NO_PROXY.
	Direct bool
	// AgentPaths are directories in the agent that the component fills. No mount of a manifest may be in one.
	AgentPaths []string
}

// Address is host:port on the internal network.
func (c Component) Address() string { return net.JoinHostPort(c.Name, strconv.Itoa(c.Port)) }

// URL is the component's address for HTTP clients on the internal network.
func (c Component) URL() string { return "http://" + c.Address() }

// Placeholder stands in the agent where a program insists on a token. cred-proxy puts the real one in its place.
const Placeholder = "bottled-placeholder"

// CurrentConfigDir is where an agent and supervise find the bottle's current configuration.
const CurrentConfigDir = "/etc/claude-bottle/current-config"

// QueueDir is where supervise finds the proposals and their answers.
const QueueDir = "/run/supervise/queue"

// LauncherPath is bottled's own executable in an agent or service, where the engine needs it: see state.Additions.
const LauncherPath = "/.bottled"

// LaunchCommand is the launcher's command: LauncherPath LaunchCommand PROGRAM [ARGUMENT...].
const LaunchCommand = "launch"

// IngressDir is where the ingress finds the socket of the host.
const IngressDir = "/run/ingress"

// The components of the published contract.
var (
	Pipelock  = Component{Name: PipelockName, Port: 8888}
	CredProxy = Component{Name: CredProxyName, Port: 9099, Reachable: true}
	Supervise = Component{Name: SuperviseName, Port: 9100, Reachable: true, Direct: true, AgentPaths: []string{"/run/supervise", "/etc/claude-bottle"}}
	Ingress   = Component{Name: IngressName} // it connects to the host, and listens nowhere
	Agent     = Component{Name: AgentName, AgentPaths: []string{LauncherPath}}
)

// components are the published ones and those that were reserved.
var components = []Component{Pipelock, CredProxy, Supervise, Ingress, Agent}

// Reserve adds a component's name and paths to those that manifests may not use. A name that is reserved already stays as it is.
// The registry of components calls it while the program is initialised; it is not safe for concurrent use.
func Reserve(c Component) {
	if !IsName(c.Name) {
		components = append(components, c)
	}
}

// IsName reports whether a host name is that of a component.
func IsName(host string) bool {
	return slices.ContainsFunc(components, func(c Component) bool { return c.Name == host })
}

// IsReachable reports whether a host name is that of a component which an agent asks by name.
func IsReachable(host string) bool {
	return slices.ContainsFunc(components, func(c Component) bool { return c.Name == host && c.Reachable })
}

// ReachableNames returns the names, sorted, of the components that an agent asks by name, whether a bottle has them or not.
func ReachableNames() []string { return names(func(c Component) bool { return c.Reachable }) }

// DirectNames returns the names, sorted, of the components that an agent asks without pipelock, whether a bottle has them or not.
func DirectNames() []string { return names(func(c Component) bool { return c.Direct }) }

func names(are func(Component) bool) []string {
	var found []string
	for _, c := range components {
		if are(c) {
			found = append(found, c.Name)
		}
	}
	slices.Sort(found)
	return found
}

// AgentPaths returns the directories in an agent that components fill.
func AgentPaths() []string {
	var paths []string
	for _, c := range components {
		paths = append(paths, c.AgentPaths...)
	}
	return paths
}
