// Package doctor checks whether an engine and its host keep what bottles promise, and says how to correct what they don't. It changes
// nothing.
package doctor

import (
	"context"
	"net/netip"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Status of a check.
type Status string

// Bottles can't run, or can't be kept, with a failed check. A warning is about a guarantee that is weaker than it could be.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
)

// Check is the outcome of one check.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Result string `json:"result"`
	Fix    string `json:"fix,omitempty"` // a command or an instruction
}

// Engine is what is asked of the engine.
type Engine interface {
	Info(ctx context.Context) (engine.Info, error)
	Networks(ctx context.Context) ([]engine.ObservedNetwork, error)
}

// Host is what is asked of the host.
type Host struct {
	Routes            func() ([]netip.Prefix, error)
	ReversePathFilter func() (bool, error)
	// FirewallRules are the lines of the host's rule sets, as iptables-save and nft print them.
	FirewallRules func(ctx context.Context) ([]string, error)
	// Inotify tries to watch one more directory.
	Inotify func() error
	// Sysctl reads a number below /proc/sys.
	Sysctl func(path string) (int, error)
	// FreeSpace is the room, in bytes, that is left where a path is, or would be.
	FreeSpace func(path string) (uint64, error)
	// CheckDir fails for a directory that others could replace.
	CheckDir func(path string) error
}

// Run makes all checks. connectErr is why there is no engine to ask; its checks are left out then.
func Run(ctx context.Context, e Engine, connectErr error, h Host, s state.Settings) []Check {
	var all []Check
	if connectErr != nil {
		all = append(all, Check{Name: "engine", Status: Failed, Result: connectErr.Error(), Fix: "start Docker, or set DOCKER_HOST or DOCKER_CONTEXT; `docker version` must work as this user"})
	} else {
		all = append(all, engineChecks(ctx, e)...)
		all = append(all, checkPool(ctx, e, h, s))
	}
	if s.Shared == nil { // in a container these are those of its own network
		all = append(all, checkReversePath(h), checkFirewall(ctx, h, s))
	}
	all = append(all, checkInotify(h))
	return append(all, checkDir(h, "state directory", s.StateDir, "--state-dir"), checkDir(h, "run directory", s.RunDir, "--run-dir"))
}

// failed is the outcome of a check that could not be made.
func failed(name string, err error) Check {
	return Check{Name: name, Status: Failed, Result: err.Error()}
}
