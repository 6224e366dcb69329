package v1alpha1

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/route"
)

// APIVersion and Kind are the only values a manifest's apiVersion and kind may have.
const (
	APIVersion = "bottled/v1alpha1"
	Kind       = "Bottle"
)

// The jsonschema_description tags below are the texts that an editor shows; Schema adds the patterns and
// limits that the validation has. A field without omitempty is required, in the validation as in the schema.

// Bottle is one declared bottle: an isolated network, its sidecars and, if declared, the agent.
type Bottle struct {
	APIVersion string   `json:"apiVersion" jsonschema_description:"The version of this format."`
	Kind       string   `json:"kind" jsonschema_description:"What the document declares."`
	Metadata   Metadata `json:"metadata" jsonschema_description:"What identifies the bottle."`
	Spec       Spec     `json:"spec" jsonschema_description:"What the bottle consists of."`
	Source     Source   `json:"-"`
}

// Source is where a bottle was declared.
type Source struct {
	Path string // absolute path of the file
	Line int    // first line of the document in the file, counted from 1
	// Lines are those of the fields' values, by the fields' paths.
	Lines map[string]int
}

// LineOf returns the line of a field, or of the nearest field around it.
func (s Source) LineOf(field string) int {
	for field != "" {
		if line, ok := s.Lines[field]; ok {
			return line
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return s.Line
}

// Metadata identifies a bottle.
type Metadata struct {
	// Name is the slug: a DNS label of at most 40 characters, unique in the directory.
	Name   string            `json:"name" jsonschema_description:"The bottle's name: a DNS label of at most 40 characters, unique among all manifests."`
	Labels map[string]string `json:"labels,omitempty" jsonschema_description:"Labels for everything made for the bottle. Keys that begin with bottled. are reserved."`
}

// Spec is what a bottle consists of.
type Spec struct {
	// Suspend stops the bottle's containers; its networks and data are kept.
	Suspend   bool       `json:"suspend,omitempty" jsonschema_description:"Whether the bottle is stopped: nothing of it runs, and everything is kept."`
	Supervise bool       `json:"supervise,omitempty" jsonschema_description:"Whether the agent may ask a human for more, through an MCP server."`
	Approvals *Approvals `json:"approvals,omitempty" jsonschema_description:"How what the agent asks for is answered without a person. It needs supervise: true."`
	Egress    Egress     `json:"egress,omitempty" jsonschema_description:"What the bottle may reach, through pipelock."`
	CredProxy *CredProxy `json:"credProxy,omitempty" jsonschema_description:"Upstreams that the agent reaches with a token it never sees."`
	Services  []Service  `json:"services,omitempty" jsonschema_description:"Containers that the agent needs beside it, like a database. Each is ready before the next one, and all are before the agent."`
	Agent     *Agent     `json:"agent,omitempty" jsonschema_description:"The container that the bottle is for."`
}

// DLPAction is what pipelock does with a plain-HTTP request that carries a secret.
type DLPAction string

// The DLP actions. Unset means block.
const (
	DLPBlock DLPAction = "block"
	DLPWarn  DLPAction = "warn"
)

// Egress says what the bottle may reach through pipelock.
type Egress struct {
	// Allowlist holds also entries whose time is over: HostsAt has those in force.
	Allowlist []AllowedHost `json:"allowlist,omitempty" jsonschema_description:"Hosts that may be reached: names, *.NAME for every subdomain, or addresses within privateCIDRs. HOST:PORT opens that port, HOST opens 443 (and any for plain http). {host: HOST, until: TIME} ends by itself. The upstreams of credProxy are added by themselves."`
	DLPAction DLPAction     `json:"dlpAction,omitempty" jsonschema_description:"What happens to a plain-http request that carries a secret in its URL, header or body. Unset: block."`
	// DLPExceptions are for text that is no secret, such as the samples of public documentation.
	DLPExceptions []DLPException `json:"dlpExceptions,omitempty" jsonschema_description:"What rules may match without a refusal, each in the requests to one place."`
	// PrivateCIDRs are private ranges that allowlisted names may resolve to (self-hosted upstreams).
	PrivateCIDRs []string `json:"privateCIDRs,omitempty" jsonschema_description:"Private ranges that the hosts may be in; otherwise only public addresses are reached."`
}

// CredProxy declares the routes on which cred-proxy injects tokens that the agent never sees.
type CredProxy struct {
	// CABundle is a PEM file of additional roots, beyond Mozilla's; absolute in a snapshot.
	CABundle string        `json:"caBundle,omitempty" jsonschema_description:"A PEM file of certificate authorities to trust in addition to Mozilla's. Relative to the manifest's directory."`
	Routes   []route.Route `json:"routes" jsonschema_description:"The routes; none may begin with another one's path."`
}

// Agent is the container that the bottle is for.
type Agent struct {
	// Exactly one of Image and Build is set.
	Image     string              `json:"image,omitempty" jsonschema_description:"The agent's image. Either this or build."`
	Build     *Build              `json:"build,omitempty" jsonschema_description:"What the agent's image is built from. Either this or image."`
	Command   []string            `json:"command,omitempty" jsonschema_description:"The program and its arguments, instead of the image's."`
	EnvFile   []string            `json:"envFile,omitempty" jsonschema_description:"Files with a line NAME=VALUE for each environment variable, relative to the manifest's directory. A later file takes precedence, and env over all of them."`
	Env       map[string]EnvValue `json:"env,omitempty" jsonschema_description:"Environment variables: texts, or {file: PATH} or {env: NAME} for a value that is read. They are no place for secrets, and those that lead the agent to the sidecars are reserved."`
	Mounts    []Mount             `json:"mounts,omitempty" jsonschema_description:"Directories and files of the host that the agent sees."`
	Volumes   []Volume            `json:"volumes,omitempty" jsonschema_description:"Directories that the engine keeps for the agent: they outlive its container."`
	Resources Resources           `json:"resources,omitempty" jsonschema_description:"What the agent may use at most."`
	Ports     []Port              `json:"ports,omitempty" jsonschema_description:"TCP ports of the agent that the controller serves on the host."`
	// Runtime is the engine's name of the OCI runtime (runsc for gVisor); empty: the engine's default.
	Runtime string `json:"runtime,omitempty" jsonschema_description:"The engine's name of the OCI runtime, like runsc for gVisor. Unset: the engine's default."`
	// Restart and BackoffLimit are unset for the defaults: see RestartPolicy and Retries.
	Restart      Restart `json:"restart,omitempty" jsonschema_description:"When the agent is started again after it ended: onFailure (unless its exit code is 0), never or always. Unset: onFailure."`
	BackoffLimit *int64  `json:"backoffLimit,omitempty" jsonschema_description:"How often a failed agent is started again with restart: onFailure before it counts as failed for good. Unset: 5."`
	// User is a name or number, optionally with a group, or UserAuto; empty: the image's.
	User            string            `json:"user,omitempty" jsonschema_description:"The user of the agent's processes: a name or number, USER:GROUP, or auto for the owner of the first writable mount's source. Unset: the image's."`
	Workdir         string            `json:"workdir,omitempty" jsonschema_description:"The absolute path of the working directory. Unset: the image's."`
	TTY             bool              `json:"tty,omitempty" jsonschema_description:"Whether the agent has a terminal."`
	Stdin           bool              `json:"stdin,omitempty" jsonschema_description:"Whether the agent has an input, which bottled attach passes on."`
	ShmSize         string            `json:"shmSize,omitempty" jsonschema_description:"The size of /dev/shm as a Kubernetes quantity. What is in it counts as the agent's memory. Unset: 64Mi."`
	Tmpfs           []Tmpfs           `json:"tmpfs,omitempty" jsonschema_description:"File systems in memory."`
	StopGracePeriod string            `json:"stopGracePeriod,omitempty" jsonschema_description:"How long the agent has to end after SIGTERM, like 30s or 1m30s; at most 10m. Unset: 10s."`
	ExtraHosts      map[string]string `json:"extraHosts,omitempty" jsonschema_description:"Host names of the agent's own, each for a loopback address or for another container of the bottle."`
	Devices         []Device          `json:"devices,omitempty" jsonschema_description:"Devices of the host that the agent may use."`
	GPUs            *GPUs             `json:"gpus,omitempty" jsonschema_description:"GPUs that the agent may use: all, a number, or a list of IDs. The engine needs the vendor's container toolkit."`
	Hostname        string            `json:"hostname,omitempty" jsonschema_description:"The agent's own host name: one label. Unset: the engine's choice."`
}

// Build says what an image is built from.
type Build struct {
	Context    string       `json:"context" jsonschema_description:"The directory whose files the Dockerfile may copy, as far as its .dockerignore does not leave them out. Relative to the manifest's directory."` // absolute in a snapshot
	Dockerfile string       `json:"dockerfile,omitempty" jsonschema_description:"The Dockerfile, relative to the context. Unset: Dockerfile."`
	Network    BuildNetwork `json:"network,omitempty" jsonschema_description:"What RUN steps reach: none, or with default whatever a container without a bottle reaches. Unset: none."`
}

// BuildNetwork is what the RUN steps of a Dockerfile reach.
type BuildNetwork string

// The networks of a build. Unset means none.
const (
	BuildNetworkNone    BuildNetwork = "none"
	BuildNetworkDefault BuildNetwork = "default" // the engine's, past pipelock
)

// Mount is a bind mount of a host directory or file.
type Mount struct {
	Source   string `json:"source" jsonschema_description:"The directory or file of the host. Relative to the manifest's directory."` // absolute in a snapshot
	Target   string `json:"target" jsonschema_description:"The absolute path in the agent."`
	ReadOnly bool   `json:"readOnly,omitempty" jsonschema_description:"Whether the agent may only read it."`
	// AllowDangerous mounts what gives the host away: system directories, homes, credentials, sockets.
	AllowDangerous bool `json:"allowDangerous,omitempty" jsonschema_description:"Mounts the source although it gives the agent power over the host: system directories, whole homes, credentials, sockets."`
}

// Resources limit a container. Memory and CPUs are Kubernetes quantities (2Gi, 500m).
type Resources struct {
	Memory string `json:"memory,omitempty" jsonschema_description:"Memory as a Kubernetes quantity, like 512Mi or 2Gi; at least 6Mi. Unset: no limit."`
	CPUs   string `json:"cpus,omitempty" jsonschema_description:"CPUs as a Kubernetes quantity, like \"2\" or 500m. Unset: no limit."`
	Pids   int64  `json:"pids,omitempty" jsonschema_description:"Processes and threads at most. Unset: 2048."`
}
