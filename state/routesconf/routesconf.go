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
	// DefaultMaxRequestBody bounds a request's body, in bytes, where a route does not.
	DefaultMaxRequestBody = 1 << 30
	// MaxPathRules bounds the allow and the deny list of a route.
	MaxPathRules = 64
	// MaxRate bounds RequestsPerMinute and Burst.
	MaxRate = 1_000_000
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
	// AuthScheme, AuthHeader and AuthQuery say where the token goes; one of them at most is given. With
	// none the AuthScheme is DefaultAuthScheme.
	AuthScheme string `json:"auth_scheme,omitempty" jsonschema:"first word of the Authorization header, usually Bearer; Basic encodes user:password"`
	AuthHeader string `json:"auth_header,omitempty" jsonschema:"instead of auth_scheme: name of the header whose value is the token alone, like x-api-key"`
	AuthQuery  string `json:"auth_query,omitempty" jsonschema:"instead of auth_scheme: name of the query parameter whose value is the token"`
	// TokenSlot is the base name of the file, in cred-proxy's token directory, that holds the token.
	TokenSlot string   `json:"token_slot" jsonschema:"name of the slot that holds the token, as in the present routes.json"`
	Roles     []string `json:"roles,omitempty" jsonschema:"what the route is for: anthropic-base-url, npm-registry, git-insteadof, tea-login"`
	// Methods are those allowed; GET includes HEAD. None given: all but CONNECT, TRACE and TRACK.
	Methods []string `json:"methods,omitempty" jsonschema:"HTTP methods that are allowed, like GET; without it all are"`
	Paths   *Paths   `json:"paths,omitempty" jsonschema:"which paths of the upstream are allowed; without it all are"`
	// RateLimit bounds how often the route is used.
	RateLimit *RateLimit `json:"rate_limit,omitempty" jsonschema:"how many requests are allowed"`
	// MaxRequestBody is in bytes; 0 means DefaultMaxRequestBody.
	MaxRequestBody int64 `json:"max_request_body,omitempty" jsonschema:"largest body of a request, in bytes"`
	// AllowSetCookie lets the upstream's cookies through to the agent. The agent's own are never sent.
	AllowSetCookie bool `json:"allow_set_cookie,omitempty" jsonschema:"lets the upstream's Set-Cookie headers through"`
	// InsecureUpstream allows a plain-http upstream: the token crosses the network in clear.
	InsecureUpstream bool `json:"insecure_upstream,omitempty" jsonschema:"allows an http upstream, which gets the token in clear"`
}

// Paths are rules for what follows a route's path, written with a slash in front. A rule covers the path that
// it names and everything below it; a segment * stands for any one segment. Deny goes before Allow.
type Paths struct {
	Allow []string `json:"allow,omitempty" jsonschema:"nothing but these and what is below them; a segment * stands for any one"`
	Deny  []string `json:"deny,omitempty" jsonschema:"not these and what is below them, whatever allow says"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	RequestsPerMinute int64 `json:"requests_per_minute" jsonschema:"on average"`
	// Burst is how many may come at once; 0 means RequestsPerMinute.
	Burst int64 `json:"burst,omitempty" jsonschema:"how many may come at once; without it as many as a minute allows"`
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

// normalised returns a copy in which lists whose order carries no meaning have a fixed one: of routes the
// longest prefix wins.
func (f File) normalised() File {
	routes := make([]Route, len(f.Routes))
	copy(routes, f.Routes)
	for i := range routes {
		r := &routes[i]
		if r.AuthHeader == "" && r.AuthQuery == "" {
			r.AuthScheme = cmp.Or(r.AuthScheme, DefaultAuthScheme)
		}
		r.Roles = slices.Sorted(slices.Values(r.Roles))
		r.Methods = slices.Sorted(slices.Values(r.Methods))
		if r.Paths != nil {
			r.Paths = &Paths{Allow: slices.Sorted(slices.Values(r.Paths.Allow)), Deny: slices.Sorted(slices.Values(r.Paths.Deny))}
		}
	}
	slices.SortStableFunc(routes, func(a, b Route) int { return cmp.Compare(a.Path, b.Path) })
	return File{Routes: routes}
}
