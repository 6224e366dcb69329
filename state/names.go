// Package state holds the two sides that the reconciler compares: what should run (pure: manifests
// become desired networks, containers and files) and what does run (one snapshot of the engine, read
// nowhere else).
package state

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// ComponentName is the name of a component in its bottle: the role in labels, the alias on the internal network. What is known of
// a component is in package component.
type ComponentName string

// The components that code outside of their own packages names.
const (
	Pipelock  ComponentName = contract.PipelockName
	CredProxy ComponentName = contract.CredProxyName
	Supervise ComponentName = contract.SuperviseName
	Agent     ComponentName = contract.AgentName
	// Session is a session's container (bottled run). It is never declared, and lives as long as its session.
	Session ComponentName = "run"
)

// The two networks of a bottle.
const (
	InternalNetwork = "internal" // no route out, no route to the host
	EgressNetwork   = "egress"
)

// Labels on everything that bottled makes. They are the only record of what belongs to whom.
const (
	LabelOwner    = "bottled.owner"     // whose it is; a controller never touches another owner's
	LabelSlug     = "bottled.slug"      // the bottle
	LabelRole     = "bottled.role"      // the part, or which of the two networks
	LabelHash     = "bottled.hash"      // digest of the declaration it was made from
	LabelManifest = "bottled.manifest"  // absolute path of the manifest
	LabelStateDir = "bottled.state-dir" // where its files live; two controllers must not fight over them
	// LabelMounts is a digest of which directories an agent's container was made with.
	LabelMounts = "bottled.mounts"
	// LabelFixed is a digest of what a sidecar reads at its start only: a change needs a new container.
	LabelFixed = "bottled.fixed-config"
	// LabelBuild is on images that bottled built, and so on every container of one, whoever made it: the digest of what the
	// image was built from.
	LabelBuild = "bottled.build"
)

// ContainerName is the name of a component's container.
func ContainerName(prefix string, part ComponentName, slug string) string {
	return prefix + "-" + string(part) + "-" + slug
}

// NetworkName follows the contract, in which the internal network is called just "net".
func NetworkName(prefix, network, slug string) string {
	kind := "net"
	if network == EgressNetwork {
		kind = "egress"
	}
	return prefix + "-" + kind + "-" + slug
}

// SlugOfNetwork is the bottle that a network of this name belongs to; "" when it is no bottle's.
func SlugOfNetwork(prefix, name string) string {
	for _, network := range []string{InternalNetwork, EgressNetwork} {
		if slug, ok := strings.CutPrefix(name, NetworkName(prefix, network, "")); ok {
			return slug
		}
	}
	return ""
}
