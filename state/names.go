package state

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// ComponentName is the name of a component: the role in labels, the alias on the internal network. Package component describes each.
type ComponentName string

// The components that code outside their own packages refers to.
const (
	Pipelock  ComponentName = contract.PipelockName
	CredProxy ComponentName = contract.CredProxyName
	Supervise ComponentName = contract.SuperviseName
	Ingress   ComponentName = contract.IngressName
	Agent     ComponentName = contract.AgentName
	// ServicePrefix is what the name of a service's component begins with.
	ServicePrefix = "service-"
	// Session is the container of a session (bottled run). It is never declared, and lives as long as its session.
	Session ComponentName = "run"
	// PortForward is the container through which bottled port-forward reaches the agent; it is a session, too.
	PortForward ComponentName = "port-forward"
)

// IsSession reports whether a command makes the component for as long as it runs.
func (n ComponentName) IsSession() bool { return n == Session || n == PortForward }

// The two networks of a bottle.
const (
	InternalNetwork = "internal" // no route out, no route to the host
	EgressNetwork   = "egress"
)

// Labels on all containers, networks and volumes of bottled. Ownership is recorded nowhere else.
const (
	LabelOwner    = "bottled.owner"     // owner; a controller never touches another owner's objects
	LabelSlug     = "bottled.slug"      // name of the bottle
	LabelRole     = "bottled.role"      // name of the component, or InternalNetwork, EgressNetwork or VolumeRole
	LabelHash     = "bottled.hash"      // Container.Hash of the declaration that it was created from
	LabelManifest = "bottled.manifest"  // absolute path of the manifest
	LabelStateDir = "bottled.state-dir" // absolute path, so that two controllers don't fight over the files
	// LabelVolume is a volume's name in the manifest.
	LabelVolume = "bottled.volume"
	// LabelMounts is the digest of the identities of an agent's mounted directories.
	LabelMounts = "bottled.mounts"
	// LabelFixed is the digest of the configuration that a sidecar reads only at its start: a change needs a new container.
	LabelFixed = "bottled.fixed-config"
	// LabelAdded has the names and a digest of the variables that were added to the declared ones when the container was created
	// (Additions).
	LabelAdded = "bottled.added-env"
	// LabelBuild is the digest of a build context. It is on images that bottled built, and so on every container of those, whoever
	// created it.
	LabelBuild = "bottled.build"
)

// ContainerName returns the name of a component's container. Where the manifest names the component, a dot ends that name, so that no
// other component of another bottle results in the same.
func ContainerName(prefix string, component ComponentName, slug string) string {
	if strings.HasPrefix(string(component), ServicePrefix) {
		return prefix + "-" + string(component) + "." + slug
	}
	return prefix + "-" + string(component) + "-" + slug
}

// NetworkName returns the name of a bottle's network. By the contract with claude-bottle the internal one is called just "net".
func NetworkName(prefix, network, slug string) string {
	kind := "net"
	if network == EgressNetwork {
		kind = "egress"
	}
	return prefix + "-" + kind + "-" + slug
}

// SlugOfNetwork returns the name of the bottle that a network with this name belongs to; "" for any other network.
func SlugOfNetwork(prefix, name string) string {
	for _, network := range []string{InternalNetwork, EgressNetwork} {
		if slug, ok := strings.CutPrefix(name, NetworkName(prefix, network, "")); ok {
			return slug
		}
	}
	return ""
}
