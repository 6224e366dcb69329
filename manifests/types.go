// Package manifests is the file format of bottled: what a bottle's manifest may say, how a directory
// of them is read as one snapshot, and every way in which one can be wrong. It knows nothing of Docker.
package manifests

// APIVersion and Kind are the only values a manifest's apiVersion and kind may have.
const (
	APIVersion = "bottled/v1alpha1"
	Kind       = "Bottle"
)

// Bottle is one declared bottle: an isolated network, its sidecars and, if declared, the agent.
type Bottle struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
	Source     Source   `json:"-"`
}

// Source is where a bottle was declared.
type Source struct {
	Path string // absolute path of the file
	Line int    // first line of the document in the file, counted from 1
}

// Metadata identifies a bottle.
type Metadata struct {
	// Name is the slug: a DNS label of at most 40 characters, unique in the directory.
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec is what a bottle consists of.
type Spec struct {
	Supervise bool       `json:"supervise,omitempty"`
	Egress    Egress     `json:"egress,omitempty"`
	CredProxy *CredProxy `json:"credProxy,omitempty"`
	Agent     *Agent     `json:"agent,omitempty"`
}

// DLPAction is what pipelock does with a request whose body carries a secret.
type DLPAction string

// The DLP actions. Unset means: block wherever the pipelock image in use does DLP.
const (
	DLPBlock DLPAction = "block"
	DLPWarn  DLPAction = "warn"
)

// Egress says what the bottle may reach through pipelock.
type Egress struct {
	// Allowlist holds host names; a leading "*." stands for every subdomain.
	Allowlist []string  `json:"allowlist,omitempty"`
	DLPAction DLPAction `json:"dlpAction,omitempty"`
	// PrivateCIDRs are private ranges that allowlisted names may resolve to (self-hosted upstreams).
	PrivateCIDRs []string `json:"privateCIDRs,omitempty"`
}

// CredProxy declares the routes on which tokens are injected that the agent never sees.
type CredProxy struct {
	// CABundle is a PEM file of roots besides Mozilla's; absolute after Load.
	CABundle string  `json:"caBundle,omitempty"`
	Routes   []Route `json:"routes"`
}

// Route maps a path of http://cred-proxy:9099 to an upstream.
type Route struct {
	Path       string    `json:"path"`
	Upstream   string    `json:"upstream"`
	AuthScheme string    `json:"authScheme,omitempty"`
	Token      SecretRef `json:"token"`
	Roles      []Role    `json:"roles,omitempty"`
	// InsecureUpstream allows a plain-http upstream: the token crosses the network in clear.
	InsecureUpstream bool `json:"insecureUpstream,omitempty"`
}

// SecretRef says where a secret is found when it is needed; exactly one field is set. A manifest never
// holds the secret itself.
type SecretRef struct {
	Env  string `json:"env,omitempty"`
	File string `json:"file,omitempty"` // absolute after Load
}

// Role tells the agent's side what a route is for.
type Role string

// The roles. RoleAnthropicBaseURL and RoleNPMRegistry may each be given to one route at most.
const (
	RoleAnthropicBaseURL Role = "anthropic-base-url"
	RoleNPMRegistry      Role = "npm-registry"
	RoleGitInsteadOf     Role = "git-insteadof"
	RoleTeaLogin         Role = "tea-login"
)

// Agent is the container that the bottle is for.
type Agent struct {
	Image     string            `json:"image"`
	Command   []string          `json:"command,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Mounts    []Mount           `json:"mounts,omitempty"`
	Resources Resources         `json:"resources,omitempty"`
	// Runtime is the engine's name of the OCI runtime (runsc for gVisor); empty: the engine's default.
	Runtime string `json:"runtime,omitempty"`
}

// Mount is a bind mount of a host directory or file.
type Mount struct {
	Source   string `json:"source"` // absolute after Load
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Resources limit a container. Memory and CPUs are Kubernetes quantities (2Gi, 500m).
type Resources struct {
	Memory string `json:"memory,omitempty"`
	CPUs   string `json:"cpus,omitempty"`
	Pids   int64  `json:"pids,omitempty"`
}

// Snapshot is everything that a set of paths declared at one moment.
type Snapshot struct {
	Bottles   []Bottle  // the valid ones, sorted by name
	Problems  []Problem // everything wrong in any file, sorted by file and line
	Files     int       // manifest files found
	Documents int       // documents found in them, valid or not
}

// Problem is one thing wrong in one manifest.
type Problem struct {
	File         string
	Line, Column int
	Field        string // path of the field, like spec.credProxy.routes[0].upstream
	Reason       string
	Fix          string
	// Slug is the name of the bottle that the document declares; "" when that cannot be known.
	Slug string
}
