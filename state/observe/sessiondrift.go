package observe

import "github.com/bot-bottle/bottled/state"

// SessionDrift is how a session's container differs from one that can't leave the bottle. What else it is made of was the
// declaration when it began, and stays. networks are the IDs, by name, of the networks that exist.
func SessionDrift(b state.Bottle, have ObservedContainer, networks map[string]string) Drift {
	want := state.Sealed(state.Attachment{Network: b.Networks[0].Name})
	got := have.Container
	var d Drift
	d.attachments(want, have, networks)
	d.list("dns", got.DNS, want.DNS)
	d.set("capDrop", got.CapDrop, want.CapDrop)
	d.set("capAdd", got.CapAdd, want.CapAdd)
	d.set("securityOpt", got.SecurityOpt, want.SecurityOpt)
	d.set("extras", got.Extras, want.Extras)
	return d
}
