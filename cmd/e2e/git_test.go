package e2e

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// gitServer serves an empty repository with git's own server program, unless it is down, and returns its URL and a commit
// function: that replaces the files named, or removes those without content, and pushes.
func gitServer(t *testing.T) (url string, down *atomic.Bool, commit func(files map[string]string) (revision string)) {
	t.Helper()
	root := t.TempDir()
	work := filepath.Join(root, "work")
	git := func(args ...string) string {
		t.Helper()
		return runGit(t, args...)
	}
	git("init", "-q", "--bare", "-b", "main", filepath.Join(root, "config.git"))
	git("-C", filepath.Join(root, "config.git"), "config", "http.receivepack", "true")
	git("init", "-q", "-b", "main", work)
	git("-C", work, "remote", "add", "origin", filepath.Join(root, "config.git"))
	backend := &cgi.Handler{
		Path: filepath.Join(git("--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=" + root},
	}
	down = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.NotFound(w, r)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, down, func(files map[string]string) string {
		t.Helper()
		for name, content := range files {
			path := filepath.Join(work, name)
			if content == "" {
				git("-C", work, "rm", "-q", name)
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		git("-C", work, "add", "-A")
		git("-C", work, "commit", "-qm", "change")
		git("-C", work, "push", "-q", "origin", "HEAD:main")
		return "main@sha1:" + git("-C", work, "rev-parse", "HEAD")
	}
}

// runGit runs git, with nothing of the user's configuration.
func runGit(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+t.TempDir(),
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t.example", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t.example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v (git is needed for this test: apt-get install git): %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestGitOps points the controller at a repository on a real server.
func TestGitOps(t *testing.T) {
	t.Parallel()
	url, down, commit := gitServer(t)
	e := harness.New(t)
	revision := commit(map[string]string{"bottles/a.yaml": small("a"), "bottles/b.yaml": small("b"), "README.md": "not a manifest"})
	run := func() *harness.Controller {
		return e.ControllerOf("--git", url+"/config.git#main", "--path", "bottles", "--git-interval", "200ms", "--resync", "1h")
	}
	c := run().Ready()
	carriedOut := func(revision string, slugs ...string) {
		t.Helper()
		e.Eventually(wellWithin, "revision "+revision+" is carried out", func() (bool, string) {
			live := e.Status()
			ok := live.Controller.Revision == revision && len(live.Bottles) == len(slugs)
			return ok, fmt.Sprintf("%+v %+v", live.Controller, live.Bottles)
		})
		settledReady(t, e, slugs...)
	}
	carriedOut(revision, "a", "b")
	if r := e.Expect(exitDone, "status"); !strings.Contains(r.Stdout, revision) {
		t.Errorf("status does not show the revision:\n%s", r.Stdout)
	}
	last := commit(map[string]string{"bottles/b.yaml": "", "bottles/team/c.yaml": small("c")})
	carriedOut(last, "a", "c")

	// A server that is gone harms no bottle, and a controller that starts meanwhile goes on with what it had.
	down.Store(true)
	e.Eventually(wellWithin, "the failed pull is reported", func() (bool, string) {
		live := e.Status()
		return live.Controller.SourceError != "" && live.Controller.Revision == last, fmt.Sprintf("%+v", live.Controller)
	})
	c.Stop()
	e.Docker("rm", "-f", e.Name("agent", "a"))
	c = run().Ready()
	settledReady(t, e, "a")
	agentBack(t, e, "a")
	if live := e.Status(); live.Controller.Revision != last || len(live.Bottles) != 2 {
		t.Errorf("after a restart: %+v", live.Controller)
	}
	down.Store(false)
	carriedOut(commit(map[string]string{"bottles/team/c.yaml": ""}), "a")
	if n := c.LogCount("newer manifests can be had"); n > 2 {
		t.Errorf("the failed pull is logged %d times:\n%s", n, c.LogText())
	}
}

// agentBack waits until the agent that was removed is there again.
func agentBack(t *testing.T, e *harness.Env, slug string) {
	t.Helper()
	e.Eventually(wellWithin, "the agent of "+slug+" is back", func() (bool, string) {
		state := e.Docker("ps", "--filter", "name="+e.Name("agent", slug), "--format", "{{.State}}")
		return state == "running", state
	})
}
