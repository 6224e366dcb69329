package v1alpha1

import "encoding/json"

// EnvFileField is the path of spec.agent.envFile.
const EnvFileField = AgentField + ".envFile"

// EnvValue is the value of an environment variable: a text, or where one is read that is no secret to the agent. At most one field
// is set. A manifest, like its JSON form, has a text in place of the mapping.
type EnvValue struct {
	Text string `json:"-"`
	Env  string `json:"env,omitempty" jsonschema_description:"The environment variable of bottled that has the value."`
	File string `json:"file,omitempty" jsonschema_description:"A small text file; its whole content, without one newline at the end, is the value. Relative to the manifest's directory."` // absolute in a snapshot
}

// IsText reports whether the value is a text of the manifest itself.
func (v EnvValue) IsText() bool { return v.Env == "" && v.File == "" }

// reference is an EnvValue whose JSON form is a mapping.
type reference EnvValue

// MarshalJSON writes a text as a text.
func (v EnvValue) MarshalJSON() ([]byte, error) {
	if v.IsText() {
		return json.Marshal(v.Text)
	}
	return json.Marshal(reference(v))
}

// UnmarshalJSON reads a text or a mapping.
func (v *EnvValue) UnmarshalJSON(data []byte) error {
	*v = EnvValue{}
	if err := json.Unmarshal(data, &v.Text); err == nil {
		return nil
	}
	return json.Unmarshal(data, (*reference)(v))
}

// ReadsEnv reports whether the agent's environment is read from elsewhere in part.
func (a *Agent) ReadsEnv() bool {
	if a == nil {
		return false
	}
	for _, v := range a.Env {
		if !v.IsText() {
			return true
		}
	}
	return len(a.EnvFile) > 0
}
