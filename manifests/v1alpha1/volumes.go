package v1alpha1

// VolumesField is the path of the agent's volumes.
const VolumesField = AgentField + ".volumes"

// Volume is a directory that the engine keeps for one container of a bottle, and that outlives this container.
type Volume struct {
	Name   string `json:"name" jsonschema_description:"The volume's name, unique in the bottle: a DNS label of at most 40 characters."`
	Target string `json:"target" jsonschema_description:"The absolute path in the container."`
	Retain *bool  `json:"retain,omitempty" jsonschema_description:"Whether the volume stays when the bottle is removed. Unset: true."`
}

// IsRetained reports whether the volume stays when the bottle is removed.
func (v Volume) IsRetained() bool { return v.Retain == nil || *v.Retain }

// Volumes returns the volumes of all containers of the bottle.
func (s Spec) Volumes() []Volume {
	var all []Volume
	for _, service := range s.Services {
		all = append(all, service.Volumes...)
	}
	if s.Agent != nil {
		all = append(all, s.Agent.Volumes...)
	}
	return all
}
