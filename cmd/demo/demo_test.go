package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/source"
)

func TestBundledManifestsAreValid(t *testing.T) {
	snapshot, err := source.Load("../../" + exampleDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range snapshot.Problems {
		t.Error(p)
	}
	var slugs []string
	for _, b := range snapshot.Bottles {
		slugs = append(slugs, b.Metadata.Name)
	}
	if diff := cmp.Diff([]string{"builder", "reviewer"}, slugs); diff != "" {
		t.Error(diff)
	}
}

func TestQuote(t *testing.T) {
	got := quote([]string{"docker", "exec", "a b", "it's", "--x=/y:z,w", ""})
	if want := `docker exec 'a b' 'it'\''s' --x=/y:z,w ''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestShellHidesTheSecret(t *testing.T) {
	var out bytes.Buffer
	s := &shell{ctx: t.Context(), out: &out, secret: "demo-SECRETSECRET"}
	r := s.show("sh", "-c", "echo token=demo-SECRETSECRET; echo oh >&2; exit 3")
	if want := (result{"token=demo-SECRETSECRET\noh\n", 3}); r != want || s.err != nil {
		t.Errorf("result %+v, %v, want %+v", r, s.err, want)
	}
	if strings.Contains(out.String(), "SECRETSECRET") || !strings.Contains(out.String(), "token=demo-SEC…(masked)") {
		t.Errorf("prints %s", out.String())
	}
}

func TestShellStopsAtTheFirstError(t *testing.T) {
	var out bytes.Buffer
	s := &shell{ctx: t.Context(), out: &out}
	s.do("sh", "-c", "exit 3")
	left := filepath.Join(t.TempDir(), "left")
	s.do("touch", left)
	s.stream("touch", left)
	if s.ask("touch", left); s.err == nil || s.err.Error() != "sh -c 'exit 3': exit code 3" {
		t.Errorf("error %v", s.err)
	}
	if _, err := os.Stat(left); err == nil || strings.Contains(out.String(), "touch") {
		t.Errorf("it went on: %s", out.String())
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out}
	for _, piece := range []string{"go: downloading a v1\ngo: down", "loading b v2\nnet/http\n", "# pkg\nx.go:1:2: no\n"} {
		if _, err := p.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		p.last = time.Time{}
	}
	if want := "  2 modules downloaded, 1 packages compiled\n"; !strings.HasSuffix(out.String(), want) || p.rest.String() != "# pkg\nx.go:1:2: no\n" {
		t.Errorf("prints %q, keeps %q", out.String(), p.rest.String())
	}
}

func TestAllClosed(t *testing.T) {
	cases := map[string]struct {
		result
		want bool
	}{
		"all closed":            {result{"a:1 closed: timeout\nb:1 closed: refused\n", 1}, true},
		"one open":              {result{"a:1 closed: timeout\nb:1 open\n", 1}, false},
		"dial did not run":      {result{"Error: No such container: x\n", 1}, false},
		"the command is absent": {result{"a:1 closed: timeout\n", 126}, false},
	}
	for name, c := range cases {
		if got := allClosed(c.result); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEnvironmentLeavesOutTheReadersSettings(t *testing.T) {
	t.Setenv("BOTTLED_OWNER", "me")
	t.Setenv("CLAUDE_BOTTLE_PIPELOCK_IMAGE", "x")
	t.Setenv("DOCKER_CONTEXT_TEST", "kept")
	env := strings.Join(environment(), "\n")
	if strings.Contains(env, "BOTTLED_OWNER") || strings.Contains(env, "CLAUDE_BOTTLE") || !strings.Contains(env, "DOCKER_CONTEXT_TEST=kept") {
		t.Error(env)
	}
}
