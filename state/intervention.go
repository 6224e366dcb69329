package state

import (
	"slices"
	"time"
)

// Intervention is what an operator asks of a bottle whatever its manifest says. The zero value asks for nothing.
type Intervention struct {
	// SuspendedSpec is the hash of the spec that is suspended: a bottle with another spec is not.
	SuspendedSpec string `json:"suspendedSpec,omitempty"`
	// Cut takes the bottle's sidecars off the egress network, whatever the spec.
	Cut bool `json:"cut,omitempty"`
	// Restart maps components to the runs that are to end, or have ended, and are to be followed by another one.
	Restart map[ComponentName]Run `json:"restart,omitempty"`
}

// Run identifies one run of a container, from its start to its end.
type Run struct {
	ContainerID string    `json:"containerID"`
	StartedAt   time.Time `json:"startedAt,omitzero"` // by the engine's clock; zero before the first one
}

// Is reports whether two runs are the same one.
func (r Run) Is(other Run) bool {
	return r.ContainerID == other.ContainerID && r.StartedAt.Equal(other.StartedAt)
}

// Intervene applies an intervention to the desired state. newestSpec is the hash of the newest valid declaration; the bottle may have
// been rendered from the one before.
func (b *Bottle) Intervene(i Intervention, newestSpec string) {
	if i.SuspendedSpec != "" && i.SuspendedSpec == newestSpec && !b.Suspended {
		b.Suspended, b.SuspendedByOperator = true, true
	}
	b.Restart, b.Cut = i.Restart, i.Cut
	if !i.Cut {
		return
	}
	for j := range b.Components {
		c := &b.Components[j].Container
		c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), func(a Attachment) bool { return b.isEgress(a.Network) })
	}
}

// isEgress reports whether a network of the bottle has a route out.
func (b *Bottle) isEgress(network string) bool {
	return slices.ContainsFunc(b.Networks, func(n Network) bool { return n.Name == network && !n.Internal })
}
