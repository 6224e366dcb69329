package routesconf

import (
	"strconv"

	"github.com/bot-bottle/bottled/manifests"
)

// Declared is the route as a manifest declares it. Where the token is found is not in a routes.json, so the
// caller says it.
func (r Route) Declared(token manifests.SecretRef) manifests.Route {
	declared := manifests.Route{
		Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, AuthHeader: r.AuthHeader, AuthQuery: r.AuthQuery, Token: token,
		Methods: r.Methods, AllowSetCookie: r.AllowSetCookie, InsecureUpstream: r.InsecureUpstream,
	}
	if r.MaxRequestBody != 0 {
		declared.MaxRequestBody = strconv.FormatInt(r.MaxRequestBody, 10)
	}
	if r.Paths != nil {
		declared.Paths = &manifests.PathRules{Allow: r.Paths.Allow, Deny: r.Paths.Deny}
	}
	if r.RateLimit != nil {
		declared.RateLimit = &manifests.RateLimit{RequestsPerMinute: r.RateLimit.RequestsPerMinute, Burst: r.RateLimit.Burst}
	}
	for _, role := range r.Roles {
		declared.Roles = append(declared.Roles, manifests.Role(role))
	}
	return declared
}
