// Package routesconf is the format of cred-proxy's routes.json: what the controller renders, cred-proxy
// obeys and an agent proposes. It is pure: no file is read and no token is known here.
package routesconf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	kjson "sigs.k8s.io/json"
)

const (
	// MaxBytes bounds a routes.json.
	MaxBytes = 256 << 10
	// MaxRoutes bounds the number of routes of one bottle.
	MaxRoutes = 256
	// DefaultAuthScheme is what a route without an auth_scheme uses.
	DefaultAuthScheme = "Bearer"
)

// File is one routes.json.
type File struct {
	Routes []Route `json:"routes"`
}

// Route sends the requests below Path to Upstream, with the token of one slot. The jsonschema tags are what
// an agent reads that proposes routes.
type Route struct {
	// Path is a prefix that begins and ends with a slash. What follows it in a request follows Upstream
	// in what is sent on.
	Path string `json:"path" jsonschema:"prefix of the path at http://cred-proxy:9099 that is replaced by the upstream; begins and ends with a slash"`
	// Upstream is an https URL without credentials, query or fragment; plain http needs InsecureUpstream.
	Upstream string `json:"upstream" jsonschema:"https URL that requests go to"`
	// AuthScheme is the first word of the Authorization header; empty means DefaultAuthScheme.
	AuthScheme string `json:"auth_scheme" jsonschema:"first word of the Authorization header, usually Bearer; Basic encodes user:password"`
	// TokenSlot is the base name of the file, in cred-proxy's token directory, that holds the token.
	TokenSlot string   `json:"token_slot" jsonschema:"name of the slot that holds the token, as in the present routes.json"`
	Roles     []string `json:"roles,omitempty" jsonschema:"what the route is for: anthropic-base-url, npm-registry, git-insteadof, tea-login"`
	// InsecureUpstream allows a plain-http upstream: the token crosses the network in clear.
	InsecureUpstream bool `json:"insecure_upstream,omitempty" jsonschema:"allows an http upstream, which gets the token in clear"`
}

// Parse reads a routes.json strictly: unknown and repeated keys, wrong types, and routes that cred-proxy
// could not serve safely are errors, all of them reported at once. Routes come back in the order of
// Render, with AuthScheme filled in.
func Parse(data []byte) (File, error) {
	if len(data) > MaxBytes {
		return File{}, fmt.Errorf("routes.json: %d bytes are more than the %d allowed", len(data), MaxBytes)
	}
	var file File
	strict, err := kjson.UnmarshalStrict(data, &file)
	if err := errors.Join(append([]error{err}, strict...)...); err != nil {
		return File{}, fmt.Errorf("routes.json: %w", err)
	}
	if file.Routes == nil {
		return File{}, errors.New(`routes.json: "routes" is missing; without routes write {"routes": []}`)
	}
	file = file.normalised()
	if err := file.validate(); err != nil {
		return File{}, fmt.Errorf("routes.json: %w", err)
	}
	return file, nil
}

// Render returns the file as it is written for cred-proxy: the same bytes for the same routes, whatever
// their order. It fails when Parse would not read the result back.
func (f File) Render() ([]byte, error) {
	f = f.normalised()
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("render routes.json: %w", err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("render routes.json: %w", err)
	}
	if out.Len() > MaxBytes {
		return nil, fmt.Errorf("render routes.json: %d bytes are more than the %d allowed", out.Len(), MaxBytes)
	}
	return out.Bytes(), nil
}

// normalised returns a copy with routes and roles in a fixed order: the longest prefix wins whatever the
// order, so it carries no meaning.
func (f File) normalised() File {
	routes := make([]Route, len(f.Routes))
	copy(routes, f.Routes)
	for i := range routes {
		routes[i].AuthScheme = cmp.Or(routes[i].AuthScheme, DefaultAuthScheme)
		routes[i].Roles = slices.Sorted(slices.Values(routes[i].Roles))
	}
	slices.SortStableFunc(routes, func(a, b Route) int { return cmp.Compare(a.Path, b.Path) })
	return File{Routes: routes}
}
