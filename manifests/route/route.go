package route

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// DefaultAuthScheme is the scheme of a route that names no place for its token.
const DefaultAuthScheme = "Bearer"

// The json tags below are the keys in a manifest, the jsonschema_description tags the texts that an editor shows.

// Route maps a path of http://cred-proxy:9099 to an upstream.
type Route struct {
	// Path is a prefix. What follows it in a request follows Upstream in what is sent on.
	Path     string `json:"path" jsonschema_description:"The path below http://cred-proxy:9099 whose requests take this route. It begins and ends with a slash."`
	Upstream string `json:"upstream" jsonschema_description:"Where the requests go: https://HOST, with an optional port and path."`
	// AuthScheme, AuthHeader and AuthQuery are the ways in which the token is sent: behind a scheme in the
	// Authorization header, alone in a header of its own, in a query parameter. SetDefaults sets one of them.
	AuthScheme string `json:"authScheme,omitempty" jsonschema_description:"The word before the token in the Authorization header. Unset: Bearer, unless authHeader or authQuery is given."`
	AuthHeader string `json:"authHeader,omitempty" jsonschema_description:"The header whose value is the token alone, like x-api-key; instead of authScheme."`
	AuthQuery  string `json:"authQuery,omitempty" jsonschema_description:"The query parameter whose value is the token; instead of authScheme."`
	// Token is where the controller finds the token. It stays in the manifest: a routes.json has TokenSlot instead, the
	// base name of the file in cred-proxy's token directory.
	Token     SecretRef `json:"token" jsonschema_description:"Where bottled finds the token. Exactly one of env, file and exec; never the token itself."`
	TokenSlot string    `json:"-"`
	Roles     []Role    `json:"roles,omitempty" jsonschema_description:"What the agent's programs use the route for."`
	// Methods are those allowed; GET includes HEAD. None: all but CONNECT, TRACE and TRACK.
	Methods   []string   `json:"methods,omitempty" jsonschema_description:"The HTTP methods that are allowed; GET includes HEAD. Unset: all."`
	Paths     *PathRules `json:"paths,omitempty" jsonschema_description:"Which paths of the upstream are allowed. Unset: all."`
	RateLimit *RateLimit `json:"rateLimit,omitempty" jsonschema_description:"How often the route may be used. Unset: no limit."`
	// MaxRequestBody is a Kubernetes quantity of bytes.
	MaxRequestBody string `json:"maxRequestBody,omitempty" jsonschema_description:"The largest body of a request, as a Kubernetes quantity, like 512Ki or 10Mi. Unset: 32Mi."`
	// AllowQuery are the query parameters that are sent on although they are named like credentials.
	AllowQuery []string `json:"allowQuery,omitempty" jsonschema_description:"Query parameters that are sent to the upstream although they are named like credentials; others of this kind are refused."`
	// Headers are set in each request, in place of the client's; those of listHeaders are added to the client's list.
	Headers map[string]string `json:"headers,omitempty" jsonschema_description:"Headers that each request to the upstream gets, in place of the client's. The list in anthropic-beta is added to the client's."`
	// GitURLs are further prefixes of repositories' URLs that lead to the upstream, for the role git-insteadof.
	GitURLs []string `json:"gitURLs,omitempty" jsonschema_description:"With the role git-insteadof: further prefixes of repositories' URLs for which git uses the route, like https://USER@HOST/ or ssh://git@HOST:2222/."`
	// AllowSetCookie lets the upstream's cookies through to the agent. The agent's own are never sent.
	AllowSetCookie bool `json:"allowSetCookie,omitempty" jsonschema_description:"Lets the upstream's Set-Cookie headers through to the agent. The agent's own Cookie headers are removed all the same."`
	// InsecureUpstream allows a plain-http upstream: the token crosses the network in clear.
	InsecureUpstream bool `json:"insecureUpstream,omitempty" jsonschema_description:"Allows an http:// upstream, to which the token goes in clear."`
}

// PathRules are prefixes of paths, segment by segment, below a route's own; a segment * stands for any one. What
// Deny covers is refused whatever Allow says.
type PathRules struct {
	Allow []string `json:"allow,omitempty" jsonschema_description:"Nothing but these paths, and what is below them, is allowed. They begin with a slash; a segment * stands for any one."`
	Deny  []string `json:"deny,omitempty" jsonschema_description:"These paths, and what is below them, are refused, whatever allow says."`
}

// RateLimit is a token bucket.
type RateLimit struct {
	RequestsPerMinute int64 `json:"requestsPerMinute" jsonschema_description:"Requests a minute, on average."`
	// Burst is how many may come at once; 0 means RequestsPerMinute.
	Burst int64 `json:"burst,omitempty" jsonschema_description:"How many requests may come at once. Unset: as many as a minute allows."`
}

// SecretRef says where a secret is found when it is needed; exactly one of Env, File and Exec is set. A manifest never
// holds the secret itself.
type SecretRef struct {
	Env  string `json:"env,omitempty" jsonschema_description:"The environment variable of bottled that holds the token."`
	File string `json:"file,omitempty" jsonschema_description:"The file that holds the token. Relative to the manifest's directory."` // absolute after Load
	// Exec is a program with its arguments. No shell is involved.
	Exec []string `json:"exec,omitempty" jsonschema_description:"The program that prints the token, and its arguments. bottled runs it if its setting allow-token-exec says so."`
	// Refresh is unset for the default: see RefreshInterval.
	Refresh string `json:"refresh,omitempty" jsonschema_description:"How often exec is run, like 15m; 1m to 168h. Unset: 1h."`
}

// Role is what the agent's programs use a route for.
type Role string

// The roles.
const (
	RoleAnthropicBaseURL Role = "anthropic-base-url"
	RoleNPMRegistry      Role = "npm-registry"
	RoleGitInsteadOf     Role = "git-insteadof"
	RoleTeaLogin         Role = "tea-login"
	RoleOpenAIBaseURL    Role = "openai-base-url"
	RoleGeminiBaseURL    Role = "gemini-base-url"
	RolePipIndex         Role = "pip-index"
	RoleGoProxy          Role = "goproxy"
	RoleCargoRegistry    Role = "cargo-registry"
)

// Roles returns the names of all roles.
func Roles() []string {
	var names []string
	for _, role := range []Role{
		RoleAnthropicBaseURL, RoleNPMRegistry, RoleGitInsteadOf, RoleTeaLogin, RoleOpenAIBaseURL, RoleGeminiBaseURL, RolePipIndex, RoleGoProxy,
		RoleCargoRegistry,
	} {
		names = append(names, string(role))
	}
	return names
}

// sharedRoles may be given to several routes. Each of the others sets one thing in the agent.
var sharedRoles = []Role{RoleGitInsteadOf, RoleTeaLogin, RoleCargoRegistry}

// CargoIndexes are the places of a Cargo registry's index below its route: the upstream itself or, as Artifactory has it, index/ in it.
var CargoIndexes = []string{"", "index/"}

// impossibleRoles are roles that people look for and that no route can have: why, and what to do instead.
var impossibleRoles = map[Role]scalar.Fault{
	// https://github.com/cli/cli/issues/6845, issues/8640
	"github-cli": {
		Reason: "gh asks nothing but https://HOST with the token that it has itself, so no route can serve it",
		Fix:    "remove it; use curl on a route for https://api.github.com, and the role git-insteadof for git",
	},
}

// Has reports whether the route has a role.
func (r Route) Has(role Role) bool { return slices.Contains(r.Roles, role) }

// MaxRequestBodyBytes returns the limit of a valid route in bytes; 0 when it has none of its own.
func (r Route) MaxRequestBodyBytes() int64 {
	if bytes, err := strconv.ParseInt(r.MaxRequestBody, 10, 64); err == nil {
		return bytes
	}
	return scalar.Quantity(r.MaxRequestBody, 1)
}

// SetDefaults writes the upstream's host in lower case and fills in the default authentication.
func (r *Route) SetDefaults() {
	if u, err := url.Parse(r.Upstream); err == nil {
		r.Upstream = strings.Replace(r.Upstream, u.Host, strings.ToLower(u.Host), 1)
	}
	r.setDefaultAuth()
}

func (r *Route) setDefaultAuth() {
	if r.AuthHeader == "" && r.AuthQuery == "" {
		r.AuthScheme = cmp.Or(r.AuthScheme, DefaultAuthScheme)
	}
}
