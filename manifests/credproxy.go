package manifests

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// maxRoutes is what the cred-proxy takes.
const maxRoutes = 256

const routesField = "spec.credProxy.routes"

func (d *document) validateCredProxy() {
	proxy := d.bottle.Spec.CredProxy
	d.validatePath("spec.credProxy.caBundle", proxy.CABundle)
	switch {
	case !d.given(routesField):
		return
	case len(proxy.Routes) == 0:
		d.report(routesField, "the list is empty", "add a route, or remove spec.credProxy")
	case len(proxy.Routes) > maxRoutes:
		d.report(routesField, fmt.Sprintf("%d routes are more than %d", len(proxy.Routes), maxRoutes), "spread them over several bottles")
		return
	}
	for i, r := range proxy.Routes {
		d.validateRoute(elementOf(routesField, i), r)
	}
	d.refuseOverlaps(proxy.Routes)
	d.refuseRepeatedRoles(proxy.Routes)
}

func (d *document) validateRoute(field string, r Route) {
	if f := checkRoutePath(r.Path); f != nil && d.given(field+".path") {
		d.report(field+".path", f.Reason, f.Fix)
	}
	d.validateUpstream(field, r)
	d.validateAuth(field, r)
	d.validateToken(field+".token", r.Token)
	d.validateRules(field, r)
}

func checkRoutePath(p string) *scalar.Fault {
	normal := normalPath(p)
	fix := "write /NAME/, with only letters, digits and ._~@+- between the slashes"
	if normal != p && routePathPattern.Matches(normal) {
		fix = "write " + scalar.Quote(normal)
	}
	switch {
	case p == "":
		return scalar.NewFault("the path is empty", fix)
	case p == "/":
		return scalar.NewFault("the path / would take every request, /healthz among them", fix)
	case !strings.HasPrefix(p, "/"), !strings.HasSuffix(p, "/"):
		return scalar.NewFault("the path "+scalar.Quote(p)+" does not begin and end with a slash", fix)
	case strings.ContainsAny(p, "?#"):
		return scalar.NewFault("the path has a query or a fragment", "write the path alone")
	case strings.Contains(p, "%"):
		return scalar.NewFault("the path has percent-encoded characters", fix)
	case !routePathPattern.Matches(p), normal != p:
		return scalar.NewFault("the path "+scalar.Quote(p)+" is not clean", fix)
	case strings.HasPrefix(p, "/healthz/"):
		return scalar.NewFault("/healthz is the cred-proxy's own", "choose another path")
	}
	return nil
}

// normalPath is what a path amounts to: without empty and dot segments, with slashes around it.
func normalPath(p string) string {
	if p = path.Clean("/" + p); p == "/" {
		return p
	}
	return p + "/"
}

// refuseOverlaps reports routes of which one takes the other's requests.
func (d *document) refuseOverlaps(routes []Route) {
	for i, later := range routes {
		at := elementOf(routesField, i) + ".path"
		for j, earlier := range routes[:i] {
			other := elementOf(routesField, j) + ".path"
			if d.given(at) && d.given(other) && overlap(normalPath(earlier.Path), normalPath(later.Path)) {
				d.report(at, fmt.Sprintf("%s overlaps with %s of %s", scalar.Quote(later.Path), scalar.Quote(earlier.Path), other), "choose paths of which none begins with the other")
				break
			}
		}
	}
}

func overlap(a, b string) bool {
	return routePathPattern.Matches(a) && routePathPattern.Matches(b) && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

var knownRoles = []string{string(RoleAnthropicBaseURL), string(RoleNPMRegistry), string(RoleGitInsteadOf), string(RoleTeaLogin)}

// singletonRoles set one thing in the agent, so that two routes can't both have them.
var singletonRoles = []Role{RoleAnthropicBaseURL, RoleNPMRegistry}

func (d *document) refuseRepeatedRoles(routes []Route) {
	holders := map[Role]string{}
	for i, r := range routes {
		for j, role := range r.Roles {
			field := elementOf(elementOf(routesField, i)+".roles", j)
			if !d.given(field) {
				continue
			}
			holder, taken := holders[role]
			switch {
			case !slices.Contains(knownRoles, string(role)):
				d.report(field, scalar.Quote(string(role))+" is no role", scalar.SuggestOneOf(string(role), knownRoles))
			case slices.Contains(r.Roles[:j], role):
				d.report(field, "the role "+string(role)+" is given twice", "remove one of them")
			case taken && slices.Contains(singletonRoles, role):
				d.report(field, "the role "+string(role)+" is taken by "+holder, "leave it to one route")
			case !taken:
				holders[role] = elementOf(routesField, i)
			}
		}
	}
}

func (d *document) validateToken(field string, token SecretRef) {
	if !d.given(field) {
		return
	}
	_, env := d.positions[field+".env"]
	_, file := d.positions[field+".file"]
	if env == file {
		reason := "it does not say where the token is found"
		if env {
			reason = "env and file are both given"
		}
		d.report(field, reason, "write either {env: NAME} or {file: PATH}")
	}
	// The value is not shown: it may be the token itself, put in the wrong place.
	if d.given(field+".env") && !envNamePattern.Matches(token.Env) {
		d.report(field+".env", "it is not the name of an environment variable", "write the name of the variable that holds the token, not the token; letters, digits and underscores, at most 120")
	}
	if file {
		d.validatePath(field+".file", token.File)
	}
}

// isSecretField tells the fields that people put secrets into by mistake: their values are never shown.
func isSecretField(field string) bool {
	return strings.HasPrefix(field, routesField) && (strings.HasSuffix(field, ".token") || strings.Contains(field, ".token.")) ||
		strings.HasPrefix(field, legacyRoutesField) && strings.HasSuffix(field, ".token_ref")
}

// refuseLiteral reports a token that is not a reference.
func (d *document) refuseLiteral(n *yaml.Node, field string) {
	if n.Kind == yaml.ScalarNode {
		d.mismatch(n, field, "a secret must not be written into a manifest", scalar.SecretFix)
		return
	}
	d.mismatch(n, field, "a mapping is expected, found "+d.describe(n, field), "write {env: NAME} or {file: PATH}")
}
