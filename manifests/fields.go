package manifests

import "github.com/bot-bottle/bottled/manifests/scalar"

// The paths of fields that several rules speak of.
const (
	credProxyField = "spec.credProxy"
	routesField    = credProxyField + ".routes"
	agentField     = "spec.agent"
	buildField     = agentField + ".build"
	envField       = agentField + ".env"
	mountsField    = agentField + ".mounts"
)

// namePattern is what the name of a bottle looks like.
const namePattern scalar.Pattern = `^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`

// isName reports whether a text can be the name of a bottle.
func isName(text string) bool { return namePattern.Matches(text) }
