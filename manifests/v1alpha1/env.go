package v1alpha1

import (
	"encoding/json"
	"fmt"
)

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
func (a *Agent) ReadsEnv() bool { return a != nil && (len(a.EnvFile) > 0 || hasReference(a.Env)) }

// ReadsEnv reports whether the service's environment is read from elsewhere in part.
func (s Service) ReadsEnv() bool { return hasReference(s.Env) }

func hasReference(env map[string]EnvValue) bool {
	for _, v := range env {
		if !v.IsText() {
			return true
		}
	}
	return false
}

// Environment is what a manifest declares as env of one of its containers.
type Environment struct {
	Field string // of the mapping
	Env   map[string]EnvValue
}

// Environments returns those of the agent and the services.
func (s Spec) Environments() []Environment {
	var all []Environment
	if s.Agent != nil {
		all = append(all, Environment{EnvField, s.Agent.Env})
	}
	for i, service := range s.Services {
		all = append(all, Environment{fmt.Sprintf("%s[%d].env", ServicesField, i), service.Env})
	}
	return all
}
