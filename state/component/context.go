package component

import (
	"cmp"
	"maps"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

// Context is what a component of one bottle is rendered from.
type Context struct {
	Manifest v1alpha1.Bottle
	Inputs   resolve.Inputs
	Subnets  state.Subnets
	Settings state.Settings
	// AgentImage is the reference of the agent's image; "" when there is no agent.
	AgentImage string
	// Kinds are those that the bottle has, in dependency order.
	Kinds []Kind
	// Kind is the one to be rendered.
	Kind Kind
}

// For returns the context for one kind.
func (c Context) For(k Kind) Context {
	c.Kind = k
	return c
}

// Slug is the bottle's name.
func (c Context) Slug() string { return c.Manifest.Metadata.Name }

// Routes are the routes of the bottle's cred-proxy.
func (c Context) Routes() []route.Route {
	if c.Manifest.Spec.CredProxy == nil {
		return nil
	}
	return c.Manifest.Spec.CredProxy.Routes
}

// Builtin reports whether a component's image is bottled's own.
func (c Context) Builtin(name state.ComponentName) bool {
	_, builtin := c.Settings.Image(name)
	return builtin
}

// Labels are the labels of what bottled makes for the bottle: role is a component or a network.
func (c Context) Labels(role string) map[string]string {
	l := map[string]string{}
	maps.Copy(l, c.Manifest.Metadata.Labels)
	l[state.LabelOwner], l[state.LabelSlug], l[state.LabelRole] = c.Settings.Owner, c.Slug(), role
	l[state.LabelManifest], l[state.LabelStateDir] = c.Manifest.Source.Path, c.Settings.StateDir
	return l
}

// Network is the name of one of the bottle's networks.
func (c Context) Network(network string) string {
	return state.NetworkName(c.Settings.Prefix, network, c.Slug())
}

// VolumeMounts are the volumes of one of the bottle's containers.
func (c Context) VolumeMounts(declared []v1alpha1.Volume) []state.VolumeMount {
	var mounts []state.VolumeMount
	for _, v := range declared {
		mounts = append(mounts, state.VolumeMount{Volume: state.VolumeName(c.Settings.Prefix, v.Name, c.Slug()), Target: v.Target})
	}
	return mounts
}

// Container is what all components have in common: attached to the internal network under the component's name, without
// capabilities and any way to get some, without a way to ask the engine's DNS for outside names.
func (c Context) Container(image string) state.Container {
	name := c.Kind.ComponentName()
	made := state.Sealed(state.Attachment{Network: c.Network(state.InternalNetwork), Aliases: []string{c.Kind.Name}})
	made.Name, made.Image = state.ContainerName(c.Settings.Prefix, name, c.Slug()), image
	made.Env, made.Labels = map[string]string{}, c.Labels(string(name))
	made.Restart, made.Log = "no", state.Log{Driver: "json-file", Options: map[string]string{"max-size": "10m", "max-file": "3"}}
	return made
}

// Intervals of the engine's health checks.
const (
	// builtinInterval is long because a check is a process in the container (70 ms of a core on 20.10) and readiness is not
	// learned from it: the sidecar reports it.
	builtinInterval = time.Minute
	// ForeignInterval is short because an image of others shows only by its health check that it is ready.
	ForeignInterval = 5 * time.Second
	// HealthTimeout bounds one check.
	HealthTimeout = 5 * time.Second
)

// Sidecar is a hardened container with the kind's limits. bottled's own image runs its command, or another image that takes the
// same arguments.
func (c Context) Sidecar(args ...string) state.Component {
	image, builtin := c.Settings.Image(c.Kind.ComponentName())
	made := c.Container(image)
	made.User, made.ReadOnlyRoot, made.Limits = c.Settings.User, true, c.Kind.Limits
	made.Command = args
	if builtin {
		made.Command = append(append([]string{"sidecar", c.Kind.Name}, args...), "--internal-subnet", c.Subnets.Internal.String())
		made.Health = state.Health{Command: []string{"/bottled", "sidecar", c.Kind.Name, "healthcheck"}, Interval: builtinInterval, Timeout: HealthTimeout, Retries: 2}
	}
	return state.Component{Name: c.Kind.ComponentName(), Container: made, Reloads: c.Kind.Reloads}
}

// Dir is a directory of files below the bottle's own.
func (c Context) Dir(name string, files map[string]state.File) state.Dir {
	return state.Dir{Path: c.Settings.BottleDir(c.Slug()) + "/" + name, Files: files}
}

// Lines is the content of a file with an element of a list on each line.
func Lines(list []string) string {
	var text strings.Builder
	for _, line := range list {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// WorkloadOOMScore makes the kernel end what an agent runs, when that has taken all of the host's memory, before anything else.
const WorkloadOOMScore = 1000

// DeclaredLimits are the limits of a workload's container.
func DeclaredLimits(r v1alpha1.Resources) state.Limits {
	return state.Limits{Memory: r.MemoryBytes(), NanoCPUs: r.NanoCPUs(), Pids: cmp.Or(r.Pids, v1alpha1.DefaultPids)}
}

// SetEnv sets the environment that a workload declares: what was read for it, and the texts of the manifest.
func SetEnv(made *state.Container, read map[string]string, declared map[string]v1alpha1.EnvValue) {
	maps.Copy(made.Env, read)
	for name, v := range declared {
		if v.IsText() {
			made.Env[name] = v.Text
		}
	}
}

// Tmpfs are the file systems in memory that a workload declares.
func Tmpfs(declared []v1alpha1.Tmpfs) []state.Tmpfs {
	var made []state.Tmpfs
	for _, t := range declared {
		made = append(made, state.Tmpfs{Target: t.Target, Size: t.SizeBytes(), Mode: t.Permissions()})
	}
	return made
}

// SidecarLimits are the limits of a sidecar that has no reason for others.
func SidecarLimits() state.Limits { return state.Limits{Memory: 256 << 20, NanoCPUs: 1e9, Pids: 256} }

// FieldError is about a field of a manifest that a component can't carry out.
type FieldError struct {
	Line   int
	Field  string // as the manifest spells it
	Reason string // with what to do
}

// Error is FIELD: what is wrong.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// FieldError returns an error about a field of the bottle's manifest.
func (c Context) FieldError(field, reason string) *FieldError {
	source := c.Manifest.Source
	return &FieldError{Line: source.LineOf(field), Field: source.Spell(field), Reason: reason}
}
