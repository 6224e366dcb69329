package routesconf

import "github.com/bot-bottle/bottled/manifests"

// Declared is the route as a manifest declares it. Where the token is found is not in a routes.json, so the
// caller says it.
func (r Route) Declared(token manifests.SecretRef) manifests.Route {
	declared := manifests.Route{
		Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, Token: token, InsecureUpstream: r.InsecureUpstream,
	}
	for _, role := range r.Roles {
		declared.Roles = append(declared.Roles, manifests.Role(role))
	}
	return declared
}
