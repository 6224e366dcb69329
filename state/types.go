package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/seccomp"
)

// Network is a bridge network, desired or observed.
type Network struct {
	Name     string
	Internal bool // no route out
	// Isolated networks give the host no address on the bridge, so that nothing inside reaches a
	// service of the host (see docs/decisions).
	Isolated bool
	IPv6     bool
	Subnet   netip.Prefix
	Labels   map[string]string
	// Extras are observed settings that bottled never makes (another driver, a second subnet, another gateway mode, …).
	Extras []string `json:",omitempty"`
}

// Container holds the settings of a container that bottled manages, desired or observed.
type Container struct {
	Name       string
	Image      string   // reference
	Entrypoint []string `json:",omitempty"` // empty: the image's
	Command    []string `json:",omitempty"` // empty: the image's
	Env        map[string]string
	User       string `json:",omitempty"` // empty: the image's
	WorkDir    string `json:",omitempty"` // empty: the image's
	Hostname   string `json:",omitempty"` // empty: the engine's choice
	TTY        bool   `json:",omitempty"`
	Stdin      bool   `json:",omitempty"`
	Labels     map[string]string
	Mounts     []Mount
	Volumes    []VolumeMount `json:",omitempty"`
	Tmpfs      []Tmpfs       `json:",omitempty"`
	ShmSize    int64         `json:",omitempty"` // of /dev/shm, in bytes; 0: Docker's default
	Devices    []Device      `json:",omitempty"`
	GPUs       GPUs          `json:",omitzero"`
	Home       []HomeFile    `json:",omitempty"` // written when it is created
	Networks   []Attachment  // it is created on the first one
	DNS        []string      `json:",omitempty"`
	Hosts      []string      `json:",omitempty"` // names of addresses that the container alone resolves: NAME:ADDRESS
	Limits     Limits
	// OOMScore is the container's oom_score_adj, 0 to 1000: the higher, the sooner it is killed when the host is out of memory.
	OOMScore     int `json:",omitempty"`
	Health       Health
	ReadOnlyRoot bool
	CapDrop      []string `json:",omitempty"`
	CapAdd       []string `json:",omitempty"`
	SecurityOpt  []string `json:",omitempty"` // no-new-privileges …; a seccomp profile by its name (see package seccomp)
	Runtime      string   `json:",omitempty"` // empty: the engine's default
	// Restart is the engine's restart policy. Always "no": restarts are the controller's, so that order
	// and configuration hold.
	Restart string
	// StopGrace is the time between SIGTERM and SIGKILL; 0: DefaultStopGrace.
	StopGrace time.Duration `json:",omitzero"`
	Log       Log
	// Additions are left out of the declaration's hash: see there.
	Additions Additions `json:",omitzero"`
	// Extras are observed settings that bottled never makes (privileged, host namespaces, devices, published ports, …), which count as
	// drift. A desired container has none.
	Extras []string `json:",omitempty"`
}

// Mount is a bind mount.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// ID identifies the source of an agent's mount at the time of its check. The declaration's hash leaves it out.
	ID safepath.ID `json:",omitzero"`
	// Owner of the source of an agent's mount. The declaration's hash leaves it out.
	Owner Owner `json:",omitzero"`
}

// Attachment is a container's endpoint on a network.
type Attachment struct {
	Network string // name
	Aliases []string
	// Links are names that the container alone resolves, in the form TARGET:NAME. The target is another container's alias.
	Links []string `json:",omitempty"`
}

// Limits are a container's resource limits; 0 is no limit.
type Limits struct {
	Memory int64 // bytes
	// Swap is the observed swap in addition to Memory, in bytes. Desired is none.
	Swap     int64 `json:",omitempty"`
	NanoCPUs int64 // billionths of a CPU
	Pids     int64
}

// Health is the engine's periodic check; no command means the image's own, if it has one.
type Health struct {
	Command  []string `json:",omitempty"`
	Interval time.Duration
	Timeout  time.Duration
	// StartPeriod is the time after a start in which failed checks don't count. Since it only delays a verdict it is not observed.
	StartPeriod time.Duration `json:",omitempty"`
	Retries     int
}

// Log is the engine's logging driver and its options; the controller reads the sidecars' events from it.
type Log struct {
	Driver  string
	Options map[string]string `json:",omitempty"`
}

// Hash returns the digest of the declaration for LabelHash. It leaves out that label, LabelManifest (moving a manifest changes nothing), and
// the Additions.
func (c Container) Hash() string {
	c.Additions = Additions{}
	c.Labels = maps.Clone(c.Labels)
	delete(c.Labels, LabelHash)
	delete(c.Labels, LabelManifest)
	c.Mounts = slices.Clone(c.Mounts)
	for i := range c.Mounts {
		c.Mounts[i].ID, c.Mounts[i].Owner = safepath.ID{}, Owner{}
	}
	return DigestJSON(c)
}

// DigestJSON returns the first 8 bytes of the SHA-256 of v's JSON form, in hex. v must be marshallable.
func DigestJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("state: a declaration that is not JSON: " + err.Error()) // plain structs of strings and numbers
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Bottle is the desired state of a bottle.
type Bottle struct {
	Slug     string // its name
	Manifest string // absolute path
	// Declared is the manifest that the bottle was rendered from, SpecHash its digest. Generation counts the changes of SpecHash.
	Declared   v1alpha1.Bottle
	SpecHash   string `json:"-"`
	Generation int64  `json:"-"`
	// HostsUntil is when the first of the hosts that it may reach now ends; zero for never.
	HostsUntil time.Time `json:"-"`
	Suspended  bool      // its containers are stopped and kept
	// SuspendedByOperator, Cut and Restart are of an Intervention.
	SuspendedByOperator bool                  `json:"-"`
	Cut                 bool                  `json:"-"`
	Restart             map[ComponentName]Run `json:"-"`
	// Runs is what is known of the agent's runs.
	Runs       AgentRuns   `json:"-"`
	Networks   []Network   // internal, egress
	Volumes    []Volume    `json:",omitempty"`
	Components []Component `json:"Members"` // in dependency order
	// Dirs are the delivered directories of all components.
	Dirs []Dir `json:"-"`
}

// Block prevents a component from being started or recreated.
func (b *Bottle) Block(name ComponentName, reason string) {
	for i := range b.Components {
		if b.Components[i].Name == name {
			b.Components[i].Blocked = reason
		}
	}
}

// Component is the desired state of a component: one container with the files that it needs.
type Component struct {
	Name      ComponentName `json:"Part"`
	Container Container
	// Config is the digest (configdigest.Of) of the configuration that the component must report. "" for a component that does not
	// report: then the engine's health check decides whether it is ready.
	Config string `json:",omitempty"`
	// DirPaths are the directories among Bottle.Dirs that the container mounts.
	DirPaths []string
	// Reloads is true for a component that reads its directories again on SIGHUP.
	Reloads bool
	// Blocked is the reason why the container must not be started or recreated; "" when it may.
	Blocked string `json:"-"`
	// Build is the build context of the image; nil for an image that is loaded or pulled.
	Build *buildcontext.Context `json:"-"`
}

// Dir is a delivered directory. It holds exactly these files.
type Dir struct {
	Path  string
	Files map[string]File
	// Spool marks a directory whose content is not declared, such as a queue: bottled creates it and leaves its content alone.
	Spool bool
}

// File is a delivered file.
type File struct {
	Content Content
	Mode    uint32 // permission bits
	Secret  bool   // never shown, not even in a diff
	// Unknown says where the content comes from, when a plan is all that it is for; such a file can't be delivered.
	Unknown string
}

// ObservedFile is a file as observed in a delivered directory.
type ObservedFile struct {
	Content  Content
	Mode     uint32
	Modified time.Time // when its content was written
}

// Content is a file's content. It may be a secret, so it can't be printed or marshalled.
type Content struct{ bytes []byte }

// NewContent wraps b.
func NewContent(b []byte) Content { return Content{bytes: b} }

// Reveal returns the bytes, for writing or comparing them.
func (c Content) Reveal() []byte { return c.bytes }

// String keeps secrets out of logs and errors.
func (Content) String() string { return "[content]" }

// GoString keeps secrets out of %#v.
func (Content) GoString() string { return "[content]" }

// MarshalText keeps secrets out of JSON and YAML.
func (Content) MarshalText() ([]byte, error) { return []byte("[content]"), nil }

// Digest returns the DigestJSON of a string.
func Digest(s string) string { return DigestJSON(s) }

// HomeFile is a file that is written into the home of a container's user, who may change it. It contains no secret.
type HomeFile struct {
	Path    string // below the home
	Content string
	// Merge merges the content into an existing JSON or TOML file of the image, or of another component, instead of replacing that.
	Merge bool `json:",omitempty"`
	// Optional files are left out if what the image has in their place can't be merged with them.
	Optional bool `json:",omitempty"`
}

// ErrMount marks a mount whose source must not or can't be mounted. An agent with such a mount is not started.
var ErrMount = errors.New("not mounted")

// String returns the mount in the syntax of `docker run -v`.
func (m Mount) String() string {
	s := m.Source + ":" + m.Target
	if m.ReadOnly {
		s += ":ro"
	}
	return s
}

// AddDir adds a directory to Dirs, unless a directory with its path is there already.
func (b *Bottle) AddDir(dir Dir) {
	if !slices.ContainsFunc(b.Dirs, func(d Dir) bool { return d.Path == dir.Path }) {
		b.Dirs = append(b.Dirs, dir)
	}
}

// Sealed returns the settings that confine a container to its bottle's internal network.
func Sealed(internal Attachment) Container {
	return Container{
		Networks: []Attachment{internal},
		// A DNS server that does not exist: without one, Docker forwards queries from an internal network to the host's resolver
		// (CVE-2024-29018).
		DNS: []string{"127.0.0.1"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", seccomp.Option()},
	}
}
