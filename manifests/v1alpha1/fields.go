package v1alpha1

import "github.com/bot-bottle/bottled/manifests/scalar"

// The paths of fields that several rules speak of.
const (
	specField      = "spec"
	CredProxyField = specField + ".credProxy"
	RoutesField    = CredProxyField + ".routes"
	AgentField     = specField + ".agent"
	BuildField     = AgentField + ".build"
	EnvField       = AgentField + ".env"
	MountsField    = AgentField + ".mounts"
)

// NamePattern is what the name of a bottle or of one of its volumes looks like.
const NamePattern scalar.Pattern = `^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`

// IsName reports whether a text can be the name of a bottle or of one of its volumes.
func IsName(text string) bool { return NamePattern.Matches(text) }
