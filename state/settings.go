package state

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Builtin as a sidecar's image stands for bottled's own image, which it makes and loads itself.
const Builtin = "builtin"

// DefaultPool is the default subnet pool: a /27 for each of 2,048 bottles.
var DefaultPool = netip.MustParsePrefix("10.213.0.0/16")

// Settings are the settings that all bottles of a controller share.
type Settings struct {
	Owner  string
	Prefix string // of the names of containers and networks
	// StateDir holds the sidecars' configuration and the proposal queues. RunDir holds the tokens and the ingresses' sockets, on a tmpfs
	// where there is one. Both are absolute paths and get bind-mounted, so the engine must be on this host.
	StateDir, RunDir string
	Pool             netip.Prefix
	// Images are the sidecars' images: a reference or Builtin, which is the default.
	Images map[ComponentName]string
	// AgentImage is the default image of agents in claude-bottle files, which can't name one. "" is none.
	AgentImage string
	// BuiltinImage is the reference of bottled's own image.
	BuiltinImage string
	// Shared are the directories with the same path here and on the engine's host, where bottled runs in a container. nil where it runs
	// on the host itself, so that all have.
	Shared []string
	// Launcher is the path of a static executable of bottled, for Additions.Launcher; "" is none.
	Launcher string
	// TokenExec are the commands that routes may name for their tokens.
	TokenExec []CommandPattern
	// User ("uid:gid") runs the sidecars and owns their files; never root.
	User string
}

// Image returns the reference of a sidecar's image, and whether it is bottled's own.
func (s Settings) Image(name ComponentName) (ref string, builtin bool) {
	if ref = s.ImageSetting(name); ref == Builtin {
		return s.BuiltinImage, true
	}
	return ref, false
}

// ImageSetting returns the setting of a sidecar's image: a reference or Builtin.
func (s Settings) ImageSetting(name ComponentName) string {
	if ref, set := s.Images[name]; set {
		return ref
	}
	return Builtin
}

// ImageOfAgent returns the reference of a bottle's agent image; "" for a bottle without an agent. build is the agent's build context
// (resolve.Reader.Build), nil for an image that is not built.
func (s Settings) ImageOfAgent(m v1alpha1.Bottle, build *buildcontext.Context) (string, error) {
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

// CheckShared returns an error for a path that can't be bind-mounted, since bottled runs in a container that does not share it.
func (s Settings) CheckShared(path string) error {
	within := func(dir string) bool { return Within(path, dir) }
	if s.Shared == nil || slices.ContainsFunc(s.Shared, within) {
		return nil
	}
	return fmt.Errorf("bottled runs in a container, and %s is not the engine's host's: start that container with -v %s:%s, the same path on both sides", path, path, path)
}

// CheckTokenExec returns an error for a command that the operator does not allow.
func (s Settings) CheckTokenExec(command []string) error {
	for _, p := range s.TokenExec {
		if p.Allows(command) {
			return nil
		}
	}
	return errors.New("bottled's operator does not allow this command: manifests run none unless the setting allow-token-exec names it")
}

// RecordFile is the name of a bottle's record (package store) in its BottleDir.
const RecordFile = "declared.json"

// InterventionFile is the name of the file, in a bottle's BottleDir, with what an operator asks of it (package store).
const InterventionFile = "intervention.json"

// RunsFile is the name of the file, in a bottle's BottleDir, with what is known of its agent's runs (package store).
const RunsFile = "runs.json"

// BottleDir returns the directory of a bottle's non-secret files.
func (s Settings) BottleDir(slug string) string { return filepath.Join(s.StateDir, "bottles", slug) }

// QueueDir returns the directory of a bottle's proposal queue (contract: <state dir>/queue/<slug>).
func (s Settings) QueueDir(slug string) string { return filepath.Join(s.StateDir, "queue", slug) }

// AuditDir returns the directory of the audit logs. No container mounts it.
func (s Settings) AuditDir() string { return filepath.Join(s.StateDir, "audit") }

// ApprovalsDir returns the directory of the decisions about proposals that are under way. No container mounts it.
func (s Settings) ApprovalsDir() string { return filepath.Join(s.StateDir, "approvals") }

// SecretDir returns the directory of the secrets that a person gave for a bottle's proposals. No container mounts it.
func (s Settings) SecretDir(slug string) string { return filepath.Join(s.StateDir, "secrets", slug) }

// IngressDir is the directory of the socket to which the ingress of a bottle connects.
func (s Settings) IngressDir(slug string) string { return filepath.Join(s.RunDir, slug, "ingress") }

// PortForwardDir is the same for one port-forward.
func (s Settings) PortForwardDir(slug, id string) string {
	return filepath.Join(s.RunDir, slug, string(PortForward)+"-"+id)
}

// CheckoutDir returns the directory of the checkouts of manifest repositories.
func (s Settings) CheckoutDir() string { return filepath.Join(s.StateDir, "git") }

// TokenDir returns the directory of the tokens of a bottle's cred-proxy.
func (s Settings) TokenDir(slug string) string { return filepath.Join(s.RunDir, slug, "tokens") }

// SessionDir returns the directory of the sessions' lock files (store.LockSession).
func (s Settings) SessionDir() string { return filepath.Join(s.StateDir, "sessions") }

// Within reports whether a clean absolute path is dir or below it.
func Within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
