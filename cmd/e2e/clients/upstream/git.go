package main

import (
	"fmt"
	"net/http"
	"net/http/cgi" //nolint:gosec // what is known against it was corrected in Go 1.6.3
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// branches are so many that a clone asks for more than the 1,024 bytes above which git compresses its requests.
const branches = 40

// newRepositories serves team/project.git, by git's own server program.
func newRepositories() (http.Handler, error) {
	root, err := os.MkdirTemp("", "git")
	if err != nil {
		return nil, err
	}
	project := filepath.Join(root, "team", "project.git")
	git := func(input string, args ...string) (string, error) {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "HOME="+root)
		cmd.Stdin, cmd.Stderr = strings.NewReader(input), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := git("", "init", "-q", "--bare", "-b", "main", project); err != nil {
		return nil, err
	}
	if _, err := git(history(), "-C", project, "fast-import", "--quiet"); err != nil {
		return nil, err
	}
	if _, err := git("", "-C", project, "config", "uploadpack.allowFilter", "true"); err != nil {
		return nil, err
	}
	programs, err := git("", "--exec-path")
	if err != nil {
		return nil, err
	}
	return &cgi.Handler{
		Path: filepath.Join(programs, "git-http-backend"), Stderr: os.Stderr,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root, "REMOTE_USER=t"},
	}, nil
}

// history is a branch main and many others, each with a commit of its own, for git fast-import.
func history() string {
	var b strings.Builder
	commit := func(branch, text string) {
		fmt.Fprintf(&b, "commit refs/heads/%s\ncommitter t <t@git.example> 1767225600 +0000\ndata %d\n%s\nM 100644 inline README\ndata %d\n%s\n",
			branch, len(text), text, len(text), text)
	}
	commit("main", "the project")
	for n := range branches {
		commit(fmt.Sprintf("topic-%d", n), fmt.Sprintf("topic %d", n))
	}
	return b.String()
}
