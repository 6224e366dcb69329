package observe

import "github.com/bot-bottle/bottled/state"

// SessionDrift compares the isolation of a session's container with state.Sealed. Its other settings are those of the declaration when it
// started, and stay, but for devices: it has none that the agent must not have. networks are the IDs of the existing networks by name.
func SessionDrift(b state.Bottle, have ObservedContainer, networks map[string]string) Drift {
	got := have.Container
	internal := state.Attachment{Network: b.Networks[0].Name}
	for _, a := range got.Networks {
		if a.Network == internal.Network {
			internal.Links = a.Links // names inside the bottle
		}
	}
	want := state.Sealed(internal)
	var d Drift
	d.compareAttachments(want, have, networks)
	d.compareList("dns", got.DNS, want.DNS)
	d.compareSet("capDrop", got.CapDrop, want.CapDrop)
	d.compareSet("capAdd", got.CapAdd, want.CapAdd)
	d.compareSet("securityOpt", got.SecurityOpt, want.SecurityOpt)
	d.compareSet("extras", got.Extras, want.Extras)
	for _, m := range b.Components {
		if m.Name == state.Agent {
			want = m.Container
		}
	}
	d.compareRights(want, got)
	return d
}
