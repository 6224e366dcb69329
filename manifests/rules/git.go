package rules

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// warnMounts warns of Git repositories: those whose hooks and configuration the agent can write, since git on the host runs what they
// say, and worktrees without the repository that they belong to.
func warnMounts(d *parse.Document) {
	agent := d.Bottle.Spec.Agent
	if agent == nil {
		return
	}
	for i, m := range agent.Mounts {
		field := parse.ElementOf(v1alpha1.MountsField, i)
		if !m.ReadOnly && hasEntry(m.Source, ".git") && !protects(agent.Mounts, m) {
			d.Warn(field, "the agent can write .git in it: its hooks and configuration run on this host with the next git status there",
				fmt.Sprintf("add the mount {source: %s, target: %s, readOnly: true}", path.Join(m.Source, ".git"), path.Join(m.Target, ".git")))
		}
		if !m.ReadOnly && isGitDirectory(m.Source) {
			d.Warn(field, "the agent can write this repository's hooks and configuration, which run on this host with the next git status",
				"set readOnly: true, and give the agent a clone of its own to commit to (git clone)")
		}
		if repository, inside := worktree(m); repository != "" && !sees(agent.Mounts, repository, inside) {
			d.Warn(field, "it is a Git worktree of "+scalar.Quote(repository)+", which the agent does not see there, so that git finds no repository",
				fmt.Sprintf("add the mount {source: %s, target: %s, readOnly: true}, with which the agent can read the history but not commit; or mount a clone", repository, inside))
		}
	}
}

// protects reports whether a read-only mount covers the .git of another one.
func protects(all []v1alpha1.Mount, m v1alpha1.Mount) bool {
	return slices.ContainsFunc(all, func(other v1alpha1.Mount) bool {
		return other.ReadOnly && other.Target == path.Join(m.Target, ".git") && path.Clean(other.Source) == path.Join(m.Source, ".git")
	})
}

// sees reports whether a mount shows a directory of the host at a path in the agent.
func sees(all []v1alpha1.Mount, directory, inside string) bool {
	return slices.ContainsFunc(all, func(m v1alpha1.Mount) bool {
		return isBelow(inside, []string{m.Target}) && path.Join(m.Source, strings.TrimPrefix(inside, m.Target)) == directory
	})
}

func hasEntry(dir, name string) bool {
	_, err := safepath.Stat(filepath.Join(dir, name))
	return err == nil
}

// isGitDirectory reports whether a directory is what .git of a repository is, or a bare repository.
func isGitDirectory(dir string) bool {
	return hasEntry(dir, "HEAD") && hasEntry(dir, "objects") && hasEntry(dir, "refs")
}

// maxGitFile is how much of a file with a path is read, in bytes.
const maxGitFile = 4 << 10

// worktree returns the directory of the repository that a linked worktree belongs to (gitrepository-layout(5)), and the path at which
// git looks for it in the agent; "" for any other mount. The agent may have written .git in the worktree, so that the repository has to
// know the worktree.
func worktree(m v1alpha1.Mount) (repository, inside string) {
	o, err := safepath.Open(m.Source)
	if err != nil {
		return "", ""
	}
	defer o.Close()
	text := firstLine(filepath.Join(o.Real, ".git"))
	named, is := strings.CutPrefix(text, "gitdir: ")
	if !is {
		return "", ""
	}
	admin := rootedAt(o.Real, named)
	back, common := firstLine(filepath.Join(admin, "gitdir")), firstLine(filepath.Join(admin, "commondir"))
	if back == "" || common == "" || rootedAt(admin, back) != filepath.Join(o.Real, ".git") {
		return "", ""
	}
	repository = rootedAt(admin, common)
	if !isGitDirectory(repository) {
		return "", ""
	}
	return repository, rootedAt(rootedAt(m.Target, named), common)
}

// firstLine returns the first line of a small file; "" if there is none.
func firstLine(name string) string {
	data, err := safepath.Set{}.ReadFile(name, maxGitFile)
	if err != nil {
		return "" // not a worktree
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}
