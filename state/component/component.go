package component

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// Kind is what bottled knows of one component.
type Kind struct {
	contract.Component

	// Prefix is what a component's name has before Name; "" where both are the same.
	Prefix string
	// Needed reports whether a bottle has the component.
	Needed func(Context) bool
	// Instances returns the kinds of components that a bottle has any number of, in order. Kinds with neither this nor Needed are never
	// declared: sessions.
	Instances func(Context) []Kind
	// Render returns the component as declared, without its hash label, and the host directories that it mounts. It is pure.
	Render func(Context) (state.Component, []state.Dir, error)
	// ForAgent returns what the agent's container gets because the bottle has the component; nil for nothing.
	ForAgent func(Context) (AgentSetup, error)

	// Limits of a sidecar's container. The agent's are declared by its manifest.
	Limits state.Limits
	// GoMemoryLimit is the soft limit that the sidecar's program gives the Go runtime, in bytes: garbage is collected more often
	// before Limits.Memory ends the sidecar.
	GoMemoryLimit int64

	// Reloads components read their files again on SIGHUP. The others need no reload: they read them whenever they are asked.
	Reloads bool
	// Reports says that the component logs which configuration it serves (package configreport).
	Reports bool
	// Ready is how a component is judged ready that does not report.
	Ready Readiness
	// Audited components have their decisions put on record (package audit).
	Audited bool
	// Workload components run programs that nobody has checked: they are given time to end, and what they can write is not
	// trusted.
	Workload bool

	// Image is the setting of the component's image; nil for none.
	Image *ImageSetting
	// Colour is the SGR parameter of the component's name in logs on a terminal; "" for none.
	Colour string
}

// ComponentName is the name of the kind's component.
func (k Kind) ComponentName() state.ComponentName { return state.ComponentName(k.Prefix + k.Name) }

// isDeclared reports whether a manifest can declare the component.
func (k Kind) isDeclared() bool { return k.Needed != nil || k.Instances != nil }

// as returns the kind of a component with a name, if it is one of the kind's.
func (k Kind) as(name state.ComponentName) (Kind, bool) {
	if k.Instances == nil {
		return k, k.ComponentName() == name
	}
	alias, is := strings.CutPrefix(string(name), k.Prefix)
	k.Name = alias
	return k, is && v1alpha1.IsName(alias)
}

// Readiness is how a component is judged ready.
type Readiness int

const (
	// ReadyWhenHealthy waits for the outcome of the engine's health check.
	ReadyWhenHealthy Readiness = iota
	// ReadyWhenStable waits whether the program stays: one that can't run its command ends at once, and says so by nothing else.
	ReadyWhenStable
	// ReadyWhenStableAndHealthy waits for both.
	ReadyWhenStableAndHealthy
)

// ImageSetting is the flag, the variable and the key in the configuration file that set a component's image.
type ImageSetting struct {
	Default string // state.Builtin, or "" for none
	Usage   string // of the flag
	Legacy  string // the environment variable that bot-bottle's users have set
}

// ImageFlag is the name of the kind's image setting.
func (k Kind) ImageFlag() string { return k.Name + "-image" }

// AgentSetup is what a component adds to the agent's container.
type AgentSetup struct {
	Env map[string]string
	// AddedEnv and AddedHome are what a newer bottled sets in addition (state.Additions): agents that run without it are not replaced.
	// A variable of the manifest or the image takes precedence over one of AddedEnv.
	AddedEnv  map[string]string
	Home      []state.HomeFile
	AddedHome []state.HomeFile
	Mounts    []state.Mount
	Dirs      []state.Dir // host directories of Mounts
}
