package gitsource

import (
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// upstream is a real repository, made with git and served by git http-backend.
type upstream struct {
	t    testing.TB
	dir  string // its work tree
	home string
	url  string

	mu       sync.Mutex
	requests []string
	before   func(w http.ResponseWriter, r *http.Request) (answered bool)
}

func newRepository(t testing.TB) *upstream {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatalf("these tests need git with its http-backend (Debian: apt-get install git): %v", err)
	}
	root := t.TempDir()
	r := &upstream{t: t, dir: filepath.Join(root, "bottles"), home: t.TempDir()}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("config", "gc.auto", "0")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
		Env: append(r.env(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
	}
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, q.Method+" "+strings.TrimPrefix(q.URL.Path, "/bottles"))
		before := r.before
		r.mu.Unlock()
		if before == nil || !before(w, q) {
			backend.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(served.Close)
	r.url = served.URL + "/bottles"
	return r
}

func (r *upstream) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
	}
}

func (r *upstream) git(args ...string) string {
	r.t.Helper()
	return r.gitInput("", args...)
}

func (r *upstream) gitInput(input string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = r.dir, r.env(), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit makes the work tree have these files and no others; "->x" is a symlink to x and "+x:…" an executable.
func (r *upstream) commit(message string, files map[string]string) string {
	r.t.Helper()
	r.git("rm", "-r", "-f", "--quiet", "--ignore-unmatch", ".")
	for name, content := range files {
		writeFile(r.t, filepath.Join(r.dir, name), content)
	}
	r.git("add", "--all", "--force")
	r.git("commit", "--quiet", "--allow-empty", "--message", message)
	return r.head()
}

func (r *upstream) head() string {
	r.t.Helper()
	return r.git("rev-parse", "HEAD")
}

// intercept puts a handler before git's.
func (r *upstream) intercept(before func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

// seen are the requests since the last call.
func (r *upstream) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests := r.requests
	r.requests = nil
	return requests
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if target, link := strings.CutPrefix(content, "->"); link {
		err = os.Symlink(target, path)
	} else if text, executable := strings.CutPrefix(content, "+x:"); executable {
		err = os.WriteFile(path, []byte(text), 0o755)
	} else {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, o Options) *Source {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "git")
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second // the race detector on a busy machine
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pull(t testing.TB, s *Source, wantChanged bool) {
	t.Helper()
	changed, err := s.Pull(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if changed != wantChanged {
		t.Errorf("changed is %t", changed)
	}
}

// pullFails checks the error's words, and that the revision stays.
func pullFails(t testing.TB, s *Source, words ...string) string {
	t.Helper()
	before := s.Revision()
	changed, err := s.Pull(t.Context())
	if err == nil || changed {
		t.Fatalf("changed is %t, and the error %v", changed, err)
	}
	for _, word := range append(words, "pull "+s.String()) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not have %q: %v", word, err)
		}
	}
	if before != "" && !strings.Contains(err.Error(), "the checkout stays at "+before) {
		t.Errorf("the error does not tell what is kept: %v", err)
	}
	if s.Revision() != before {
		t.Errorf("the revision was %q and is %q", before, s.Revision())
	}
	return err.Error()
}

// check compares the checkout with the files, in commit's notation.
func check(t testing.TB, s *Source, revision string, files map[string]string) {
	t.Helper()
	if s.Revision() != revision {
		t.Errorf("the revision is %q, not %q", s.Revision(), revision)
	}
	root, err := s.Path("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, read(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// read gives a directory's files in commit's notation; an empty directory is an entry with a slash.
func read(t testing.TB, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if entries, err := os.ReadDir(path); err != nil || len(entries) > 0 || name == "." {
				return err
			}
			files[name+"/"] = ""
			return nil
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			files[name] = "->" + target
			return err
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		if info.Mode().Perm() == 0o755 {
			files[name] = "+x:" + files[name]
		} else if info.Mode() != 0o644 {
			files[name] = info.Mode().String() + " " + files[name]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
