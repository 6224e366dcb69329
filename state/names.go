// Package state holds the two sides that the reconciler compares: what should run (pure: manifests
// become desired networks, containers and files) and what does run (one snapshot of the engine, read
// nowhere else).
package state

import (
	"slices"
	"strings"
)

// Part is the role of a container in its bottle.
type ComponentName string

// The parts of a bottle.
const (
	Pipelock  ComponentName = "pipelock"
	CredProxy ComponentName = "cred-proxy"
	Supervise ComponentName = "supervise"
	Agent     ComponentName = "agent"
	// Run is a session's container (bottled run). It is never declared, and lives as long as its session.
	Session ComponentName = "run"
)

// Parts are all parts in dependency order: a part starts when every one before it is ready.
var ComponentOrder = []ComponentName{Pipelock, CredProxy, Supervise, Agent}

// Order is the part's place in Parts; a session, and a part of a later bottled that is unknown to this one, come last.
func (p ComponentName) Order() int {
	if i := slices.Index(ComponentOrder, p); i >= 0 {
		return i
	}
	return len(ComponentOrder)
}

// reports says whether the part's log tells which configuration it serves.
func (p ComponentName) Reports() bool { return p == Pipelock || p == CredProxy || p == Supervise }

// Audited says whether what the part decides is put on record (package audit).
func (p ComponentName) Audited() bool { return p == Pipelock || p == CredProxy || p == Supervise }

// ComparePart orders parts by dependency.
func CompareComponents(a, b ComponentName) int { return a.Order() - b.Order() }

// The two networks of a bottle.
const (
	InternalNetwork = "internal" // no route out, no route to the host
	EgressNetwork   = "egress"
)

// Ports that the sidecars listen on inside the bottle (contract).
const (
	PipelockPort  = 8888
	CredProxyPort = 9099
	SupervisePort = 9100
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

func ContainerName(prefix string, part ComponentName, slug string) string {
	return prefix + "-" + string(part) + "-" + slug
}

// networkName follows the contract, in which the internal network is called just "net".
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
