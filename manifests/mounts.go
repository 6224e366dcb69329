package manifests

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ownTargets are places in the agent that bottled or the kernel fills.
var ownTargets = []string{"/proc", "/sys", "/dev", "/run/supervise", "/etc/claude-bottle"}

// closedSources are directories of the host from which a container can take the host over: neither they
// nor anything below them is mounted.
var closedSources = []string{"/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/run/docker", "/run/containerd", "/var/run/docker", "/var/run/containerd"}

// wholeSources are directories that contain one of those, or an engine's socket: what is below may be mounted.
var wholeSources = []string{"/", "/run", "/var", "/var/run", "/var/lib"}

var engineSockets = []string{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock"}

func (d *document) validateMounts(mounts []Mount) {
	holders := map[string]int{}
	for i, m := range mounts {
		field := elementOf(agentField+".mounts", i)
		if d.validatePath(field+".source", m.Source) {
			if f := checkSource(d.absolute(m.Source)); f != nil {
				d.report(field+".source", f.reason, f.fix)
			}
		}
		if !d.given(field + ".target") {
			continue
		}
		if f := checkTarget(m.Target); f != nil {
			d.report(field+".target", f.reason, f.fix)
			continue
		}
		if holder, taken := holders[m.Target]; taken {
			d.report(field+".target", fmt.Sprintf("%s is the target of mounts[%d] too", show(m.Target), holder), "choose another target")
			continue
		}
		holders[m.Target] = i
	}
}

// CheckMountSource says why a directory or file of the host, by its real path, must not be mounted in an agent. What a
// manifest says was checked as text; the path may lead through symbolic links.
func CheckMountSource(realPath string) error {
	if f := checkSource(realPath); f != nil {
		return errors.New(f.reason + "; " + f.fix)
	}
	return nil
}

func checkSource(source string) *fault {
	source = filepath.ToSlash(filepath.Clean(source))
	const fix = "mount a directory with nothing in it but what the agent works on"
	switch {
	case slices.Contains(engineSockets, path.Base(source)):
		return &fault{"with the engine's socket the agent could do anything on the host", "remove this mount"}
	case slices.Contains(wholeSources, source), isBelow(source, closedSources):
		return &fault{"with " + show(source) + " the agent could leave its sandbox", fix}
	}
	return nil
}

func checkTarget(target string) *fault {
	const fix = "write an absolute path in the agent, like /work"
	switch {
	case target == "":
		return &fault{"the target is empty", fix}
	case !strings.HasPrefix(target, "/"):
		return &fault{"the target " + show(target) + " is not absolute", fix}
	case path.Clean(target) != target:
		return &fault{"the target " + show(target) + " is not clean", "write " + show(path.Clean(target))}
	case !targetPattern.matches(target):
		return &fault{"the target / would hide the agent's image", fix}
	case isBelow(target, ownTargets):
		return &fault{show(target) + " is in a place that bottled or the kernel fills", "choose another target, like /work"}
	}
	return nil
}

// isBelow tells whether a path is one of the directories or in one of them.
func isBelow(p string, directories []string) bool {
	return slices.ContainsFunc(directories, func(directory string) bool {
		return p == directory || strings.HasPrefix(p, strings.TrimSuffix(directory, "/")+"/")
	})
}
