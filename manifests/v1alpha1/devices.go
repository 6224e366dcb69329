package v1alpha1

import (
	"encoding/json"
	"strconv"
)

// The paths of fields that several rules speak of.
const (
	DevicesField = AgentField + ".devices"
	GPUsField    = AgentField + ".gpus"
)

// Device is a device of the host that the agent may use.
type Device struct {
	Source      string `json:"source" jsonschema_description:"The device of the host, like /dev/dri/renderD128. A symbolic link is followed."`
	Target      string `json:"target,omitempty" jsonschema_description:"Its path in the agent, below /dev. Unset: the source."`
	Permissions string `json:"permissions,omitempty" jsonschema_description:"r to read, w to write, m to make its node; any of them. Unset: rw."`
	// AllowDangerous gives a device that gives the host away, or that is not known not to.
	AllowDangerous bool `json:"allowDangerous,omitempty" jsonschema_description:"Gives the device although it may give the agent power over the host: disks, memory, virtual machines, input, and all that bottled does not know."`
}

// AllGPUs as the count of GPUs is all that the engine has.
const AllGPUs = -1

// GPUs are the GPUs of an agent: all, a number of them, or those with these IDs. At most one field is set. A manifest, like its JSON form,
// has the text all, a number or a list.
type GPUs struct {
	Count int64    `json:"-"`
	IDs   []string `json:"-"`
}

// JSONSchemaAlias is a text in the JSON Schema, whose other forms the schema's constraints add.
func (GPUs) JSONSchemaAlias() any { return "" }

// IsZero reports whether there are none.
func (g GPUs) IsZero() bool { return g.Count == 0 && len(g.IDs) == 0 }

// MarshalJSON writes all, a number or a list.
func (g GPUs) MarshalJSON() ([]byte, error) {
	switch {
	case g.Count == AllGPUs:
		return json.Marshal("all")
	case g.Count != 0:
		return []byte(strconv.FormatInt(g.Count, 10)), nil
	}
	return json.Marshal(g.IDs)
}

// UnmarshalJSON reads all, a number or a list.
func (g *GPUs) UnmarshalJSON(data []byte) error {
	*g = GPUs{}
	if string(data) == `"all"` {
		g.Count = AllGPUs
		return nil
	}
	if err := json.Unmarshal(data, &g.Count); err == nil {
		return nil
	}
	return json.Unmarshal(data, &g.IDs)
}
