package state

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
)

// Builtin as a sidecar's image means: bottled itself, in an image that it makes and loads.
const Builtin = "builtin"

// DefaultPool gives 2,048 bottles a /27 each.
var DefaultPool = netip.MustParsePrefix("10.213.0.0/16")

// Settings are what every bottle of one controller has in common.
type Settings struct {
	Owner  string
	Prefix string // of every container's and network's name
	// StateDir holds the sidecars' configuration and the proposal queues; RunDir, on a tmpfs where there
	// is one, holds the tokens. Both are absolute and bind-mounted, so the engine is on this host.
	StateDir, RunDir string
	Pool             netip.Prefix
	// Images are the sidecars' images: a reference or Builtin, which is the default.
	Images map[ComponentName]string
	// AgentImage is the image of agents whose declaration names none; empty: there is none.
	AgentImage string
	// BuiltinImage is the reference under which bottled's own image is loaded.
	BuiltinImage string
	// Shared are the directories that have the same path here and on the engine's host, where bottled runs in a container;
	// nil where it runs on the host itself, and all have.
	Shared []string
	// User ("uid:gid") that the sidecars run as and that owns their files; never root.
	User string
}

// Image returns the reference that a sidecar's container is made from and whether it is bottled's own image.
func (s Settings) Image(name ComponentName) (ref string, builtin bool) {
	if ref = s.ImageSetting(name); ref == Builtin {
		return s.BuiltinImage, true
	}
	return ref, false
}

// ImageSetting returns what is set for a sidecar's image: a reference or Builtin.
func (s Settings) ImageSetting(name ComponentName) string {
	if ref, set := s.Images[name]; set {
		return ref
	}
	return Builtin
}

// ImageOfAgent returns the reference that a bottle's agent is made from; "" when bottled runs none. Of the files that declare
// bottles, claude-bottle's name no image. build is what ReadBuild returned.
func (s Settings) ImageOfAgent(m manifests.Bottle, build *buildcontext.Context) (string, error) {
	agent := m.Spec.Agent
	switch {
	case agent == nil:
		return "", nil
	case agent.Build != nil && build == nil: // not another image instead
		return "", errors.New("spec.agent.build: its context was not read")
	case build != nil:
		return build.Ref(), nil
	case agent.Image != "":
		return agent.Image, nil
	case s.AgentImage == "" && len(agent.Env) > 0:
		return "", fmt.Errorf("%s: it is for the agent, and neither this file nor a setting names the agent's image: "+
			"set --agent-image, or replace this file by the manifest that bottled import prints", m.Source.Spell("spec.agent.env"))
	}
	return s.AgentImage, nil
}

// CheckShared says why a path can't be bind-mounted.
func (s Settings) CheckShared(path string) error {
	within := func(dir string) bool { return Within(path, dir) }
	if s.Shared == nil || slices.ContainsFunc(s.Shared, within) {
		return nil
	}
	return fmt.Errorf("bottled runs in a container, and %s is not the engine's host's: start that container with -v %s:%s, the same path on both sides", path, path, path)
}

// BottleDir holds the files of one bottle that are no secrets.
func (s Settings) BottleDir(slug string) string { return filepath.Join(s.StateDir, "bottles", slug) }

// QueueDir holds the proposals of one bottle (contract: <state dir>/queue/<slug>).
func (s Settings) QueueDir(slug string) string { return filepath.Join(s.StateDir, "queue", slug) }

// AuditDir holds the audit log of each bottle. No container has it.
func (s Settings) AuditDir() string { return filepath.Join(s.StateDir, "audit") }

// CheckoutDir holds the checkouts of repositories with manifests.
func (s Settings) CheckoutDir() string { return filepath.Join(s.StateDir, "git") }

// TokenDir holds the tokens of one bottle's cred-proxy.
func (s Settings) TokenDir(slug string) string { return filepath.Join(s.RunDir, slug, "tokens") }

// SessionDir holds a file for each session (bottled run), which its process has locked.
func (s Settings) SessionDir() string { return filepath.Join(s.StateDir, "sessions") }

// Within says whether a clean absolute path is a directory or lies in it.
func Within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
