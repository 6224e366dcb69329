package route

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
)

const (
	// MaxBytes bounds a routes.json.
	MaxBytes = 256 << 10
	// DefaultMaxRequestBody bounds a request's body, in bytes, where a route does not. It is pipelock's limit too, which a route with a
	// larger one raises: the agent's requests pass both.
	DefaultMaxRequestBody = 32 << 20
)

// file is a routes.json.
type file struct {
	Routes []Entry `json:"routes"`
}

// Entry is the JSON form of a route in routes.json. The jsonschema tags are what an agent reads that proposes routes.
type Entry struct {
	Path             string            `json:"path" jsonschema:"prefix of the path at http://cred-proxy:9099 that is replaced by the upstream; begins and ends with a slash"`
	Upstream         string            `json:"upstream" jsonschema:"https URL that requests go to"`
	AuthScheme       string            `json:"auth_scheme,omitempty" jsonschema:"first word of the Authorization header, usually Bearer; Basic encodes user:password"`
	AuthHeader       string            `json:"auth_header,omitempty" jsonschema:"instead of auth_scheme: name of the header whose value is the token alone, like x-api-key"`
	AuthQuery        string            `json:"auth_query,omitempty" jsonschema:"instead of auth_scheme: name of the query parameter whose value is the token"`
	TokenSlot        string            `json:"token_slot" jsonschema:"name of the slot that holds the token, as in the present routes.json"`
	Roles            []Role            `json:"roles,omitempty" jsonschema:"what the route is for: anthropic-base-url, npm-registry, git-insteadof, tea-login, openai-base-url, gemini-base-url, pip-index, goproxy, cargo-registry"`
	Methods          []string          `json:"methods,omitempty" jsonschema:"HTTP methods that are allowed, like GET; without it all are"`
	Paths            *entryPaths       `json:"paths,omitempty" jsonschema:"which paths of the upstream are allowed; without it all are"`
	RateLimit        *entryRateLimit   `json:"rate_limit,omitempty" jsonschema:"how many requests are allowed"`
	MaxRequestBody   int64             `json:"max_request_body,omitempty" jsonschema:"largest body of a request, in bytes"`
	AllowQuery       []string          `json:"allow_query,omitempty" jsonschema:"query parameters that are sent on although they are named like credentials"`
	Headers          map[string]string `json:"headers,omitempty" jsonschema:"headers that each request to the upstream gets"`
	GitURLs          []string          `json:"git_urls,omitempty" jsonschema:"with the role git-insteadof: further prefixes of repositories' URLs for which git uses the route"`
	AllowSetCookie   bool              `json:"allow_set_cookie,omitempty" jsonschema:"lets the upstream's Set-Cookie headers through"`
	InsecureUpstream bool              `json:"insecure_upstream,omitempty" jsonschema:"allows an http upstream, which gets the token in clear"`
}

// The types below differ from PathRules and RateLimit in nothing but their tags, so that they convert.

type entryPaths struct {
	Allow []string `json:"allow,omitempty" jsonschema:"nothing but these and what is below them; a segment * stands for any one"`
	Deny  []string `json:"deny,omitempty" jsonschema:"not these and what is below them, whatever allow says"`
}

type entryRateLimit struct {
	RequestsPerMinute int64 `json:"requests_per_minute" jsonschema:"on average"`
	Burst             int64 `json:"burst,omitempty" jsonschema:"how many may come at once; without it as many as a minute allows"`
}

// wireSpelling has the keys of a routes.json that differ from those of a manifest.
var wireSpelling = spelling{keys: strings.NewReplacer(
	"authScheme", "auth_scheme", "authHeader", "auth_header", "authQuery", "auth_query", "tokenSlot", "token_slot",
	"rateLimit", "rate_limit", "requestsPerMinute", "requests_per_minute", "maxRequestBody", "max_request_body",
	"allowQuery", "allow_query", "gitURLs", "git_urls", "allowSetCookie", "allow_set_cookie", "insecureUpstream", "insecure_upstream",
)}

// spelling is how a document spells fields and their keys.
type spelling struct {
	prefix string
	keys   *strings.Replacer // nil: as in a manifest
}

func (s spelling) path(field string) string { return s.prefix + s.key(field) }

func (s spelling) key(text string) string {
	if s.keys == nil {
		return text
	}
	return s.keys.Replace(text)
}

// EntryOf returns the JSON form of a valid route.
func EntryOf(r Route) Entry {
	return Entry{
		Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, AuthHeader: r.AuthHeader, AuthQuery: r.AuthQuery,
		TokenSlot: r.TokenSlot, Roles: r.Roles, Methods: r.Methods, Paths: (*entryPaths)(r.Paths), RateLimit: (*entryRateLimit)(r.RateLimit),
		MaxRequestBody: r.MaxRequestBodyBytes(), AllowQuery: r.AllowQuery, Headers: r.Headers, GitURLs: r.GitURLs,
		AllowSetCookie: r.AllowSetCookie, InsecureUpstream: r.InsecureUpstream,
	}
}

// Route returns the route of an entry.
func (e Entry) Route() Route {
	r := Route{
		Path: e.Path, Upstream: e.Upstream, AuthScheme: e.AuthScheme, AuthHeader: e.AuthHeader, AuthQuery: e.AuthQuery,
		TokenSlot: e.TokenSlot, Roles: e.Roles, Methods: e.Methods, Paths: (*PathRules)(e.Paths), RateLimit: (*RateLimit)(e.RateLimit),
		AllowQuery: e.AllowQuery, Headers: e.Headers, GitURLs: e.GitURLs, AllowSetCookie: e.AllowSetCookie, InsecureUpstream: e.InsecureUpstream,
	}
	if e.MaxRequestBody != 0 {
		r.MaxRequestBody = strconv.FormatInt(e.MaxRequestBody, 10)
	}
	return r
}

// Parse reads a routes.json strictly: unknown and repeated keys, wrong types, and routes that cred-proxy
// could not serve safely are errors, all of them reported at once. Routes come back in the order of
// Render, with AuthScheme filled in.
func Parse(data []byte) ([]Route, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("routes.json: %d bytes are more than the %d allowed", len(data), MaxBytes)
	}
	var f file
	strict, err := kjson.UnmarshalStrict(data, &f)
	if err := errors.Join(append([]error{err}, strict...)...); err != nil {
		return nil, fmt.Errorf("routes.json: %w", err)
	}
	if f.Routes == nil {
		return nil, errors.New(`routes.json: "routes" is missing; without routes write {"routes": []}`)
	}
	routes := make([]Route, len(f.Routes))
	for i, e := range f.Routes {
		routes[i] = e.Route()
	}
	if err := errorOf(checkServed(routes)); err != nil {
		return nil, fmt.Errorf("routes.json: %w", err)
	}
	return normalised(routes), nil
}

// Render returns the routes.json of routes: the same bytes for the same routes, whatever their order. It fails when
// Parse would not read the result back.
func Render(routes []Route) ([]byte, error) {
	if err := errorOf(checkServed(routes)); err != nil {
		return nil, fmt.Errorf("render routes.json: %w", err)
	}
	f := file{Routes: []Entry{}}
	for _, r := range normalised(routes) {
		f.Routes = append(f.Routes, EntryOf(r))
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

func errorOf(problems []Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// normalised returns a copy in which lists whose order carries no meaning have a fixed one: of routes the
// longest prefix wins.
func normalised(routes []Route) []Route {
	routes = slices.Clone(routes)
	for i := range routes {
		r := &routes[i]
		r.setDefaultAuth()
		r.Roles = slices.Sorted(slices.Values(r.Roles))
		r.Methods = slices.Sorted(slices.Values(r.Methods))
		r.AllowQuery = slices.Sorted(slices.Values(r.AllowQuery))
		r.GitURLs = slices.Sorted(slices.Values(r.GitURLs))
		if r.Paths != nil {
			r.Paths = &PathRules{Allow: slices.Sorted(slices.Values(r.Paths.Allow)), Deny: slices.Sorted(slices.Values(r.Paths.Deny))}
		}
	}
	slices.SortStableFunc(routes, func(a, b Route) int { return cmp.Compare(a.Path, b.Path) })
	return routes
}
