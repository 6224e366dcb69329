package v1alpha1

// DLPException lets what one rule matches pass, in the plain-HTTP requests to one place. Exactly one of Route and Host is set.
type DLPException struct {
	Rule  string `json:"rule" jsonschema_description:"The rule, as the refusal names it."`
	Route string `json:"route,omitempty" jsonschema_description:"The path of a route of credProxy, whose requests may have it. Either this or host."`
	Host  string `json:"host,omitempty" jsonschema_description:"A host, with its port unless that is 80, whose plain-http requests may have it. Either this or route."`
}
