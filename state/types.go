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

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
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
	// Extras are settings that bottled never makes (another driver, a second subnet, another gateway mode, …), as observed.
	Extras []string `json:",omitempty"`
}

// Container is everything about a container that bottled decides: the desired one, or the same fields
// as read from an existing one.
type Container struct {
	Name       string
	Image      string   // reference
	Entrypoint []string `json:",omitempty"` // empty: the image's
	Command    []string `json:",omitempty"` // empty: the image's
	Env        map[string]string
	User       string `json:",omitempty"` // empty: the image's
	Labels     map[string]string
	Mounts     []Mount
	Home       []HomeFile   `json:",omitempty"` // put in place when it is created
	Networks   []Attachment // the first one is where it is created
	DNS        []string     `json:",omitempty"`
	Limits     Limits
	// OOMScore is how much sooner than others the container is killed when the host has no memory left: 0 to 1000.
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
	Log     Log
	// Extras are settings that bottled never makes (privileged, host namespaces, devices, published ports,
	// …). They are read so that they are seen when somebody made them; a desired container has none.
	Extras []string `json:",omitempty"`
}

// Mount is a bind mount.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// ID is what the source of an agent's mount was when it was judged. It is not part of the declaration's hash.
	ID safepath.ID `json:",omitzero"`
}

// Attachment is a container's endpoint on a network.
type Attachment struct {
	Network string // name
	Aliases []string
}

// Limits bound what a container may use; 0 is no limit.
type Limits struct {
	Memory int64 // bytes
	// Swap is how much swap it may use in addition to Memory, as observed, in bytes: bottled allows none.
	Swap     int64 `json:",omitempty"`
	NanoCPUs int64 // billionths of a CPU
	Pids     int64
}

// Health is the engine's periodic check; no command means the image's own, if it has one.
type Health struct {
	Command  []string `json:",omitempty"`
	Interval time.Duration
	Timeout  time.Duration
	Retries  int
}

// Log is the engine's logging driver and its options; the controller reads the sidecars' events from it.
type Log struct {
	Driver  string
	Options map[string]string `json:",omitempty"`
}

// Hash is a digest of the declaration, for the label of the same name. It leaves out itself and where the
// manifest lies: a manifest that moves is still the same.
func (c Container) Hash() string {
	c.Labels = maps.Clone(c.Labels)
	delete(c.Labels, LabelHash)
	delete(c.Labels, LabelManifest)
	c.Mounts = slices.Clone(c.Mounts)
	for i := range c.Mounts {
		c.Mounts[i].ID = safepath.ID{}
	}
	return DigestJSON(c)
}

func DigestJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("state: a declaration that is not JSON: " + err.Error()) // plain structs of strings and numbers
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Bottle is one bottle as it should be.
type Bottle struct {
	Slug     string
	Manifest string // absolute path
	// Declared is the manifest that it was made from, SpecHash a digest of that. Generation counts the changes of SpecHash.
	Declared   manifests.Bottle
	SpecHash   string      `json:"-"`
	Generation int64       `json:"-"`
	Suspended  bool        // nothing of it runs, everything is kept
	Networks   []Network   // internal, egress
	Components []Component `json:"Members"` // in dependency order
	// Dirs are all the host directories of the bottle that hold files bottled writes.
	Dirs []Dir `json:"-"`
}

// Block keeps a part from being started, or made anew.
func (b *Bottle) Block(part ComponentName, why string) {
	for i := range b.Components {
		if b.Components[i].Name == part {
			b.Components[i].Blocked = why
		}
	}
}

// Component is one container of a bottle with what it needs on the host.
type Component struct {
	Name      ComponentName `json:"Part"`
	Container Container
	// Config is the digest (configdigest.Of) that the part reports when it serves what it should. Empty:
	// the part does not report, and the engine's health check tells whether it is ready.
	Config string `json:",omitempty"`
	// DirPaths are the directories among Bottle.Dirs that the container mounts.
	DirPaths []string
	// Reloads says that the part reads its directories again on SIGHUP.
	Reloads bool
	// Blocked says why the container must not be started, or made anew; "" when it may.
	Blocked string `json:"-"`
	// Build is what the container's image is built from; nil for an image that is loaded or pulled.
	Build *buildcontext.Context `json:"-"`
}

// Dir is a host directory that bottled owns: it holds exactly these files.
type Dir struct {
	Path  string
	Files map[string]File
	// Spool directories are written by the sidecar: they must exist, what is in them is left alone.
	Spool bool
}

// File is a file that bottled writes.
type File struct {
	Content Content
	Mode    uint32 // permission bits
	Secret  bool   // never shown, not even as a difference
}

// ObservedFile is a file in one of the directories that bottled writes.
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

// Digest is a short name for a string.
func Digest(s string) string { return DigestJSON(s) }

// HomeFile is a file that a container finds in its user's home, where the user may change it. It holds no secret.
type HomeFile struct {
	Path    string // below the home
	Content string
	// Merge keeps what a JSON file of the image says besides.
	Merge bool `json:",omitempty"`
}

// ErrMount marks a mount whose source must not be mounted, or can't be. An agent with such a mount is not started.
var ErrMount = errors.New("not mounted")

// String is the mount as `docker run -v` has it.
func (m Mount) String() string {
	s := m.Source + ":" + m.Target
	if m.ReadOnly {
		s += ":ro"
	}
	return s
}

// addDir adds a directory, once, whoever mounts it.
func (b *Bottle) AddDir(dir Dir) {
	if !slices.ContainsFunc(b.Dirs, func(d Dir) bool { return d.Path == dir.Path }) {
		b.Dirs = append(b.Dirs, dir)
	}
}

// sealed is what keeps a container in its bottle.
func Sealed(internal Attachment) Container {
	return Container{
		Networks: []Attachment{internal},
		// With a server of its own a container's other queries go there and end; without one the engine
		// forwards them to the host's resolver, out of an internal network (CVE-2024-29018).
		DNS: []string{"127.0.0.1"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", seccomp.Option()},
	}
}
