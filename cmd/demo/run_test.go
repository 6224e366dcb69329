package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/source"
)

func TestBundledManifestsAreValid(t *testing.T) {
	snapshot, err := source.Load("../../" + manifestDir)
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
	s := &shell{out: &out, secret: "demo-SECRETSECRET"}
	r, err := s.shown(t.Context(), "sh", "-c", "echo token=demo-SECRETSECRET; echo oh >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if want := (result{"token=demo-SECRETSECRET\noh\n", 3}); r != want {
		t.Errorf("result %+v, want %+v", r, want)
	}
	if strings.Contains(out.String(), "SECRETSECRET") || !strings.Contains(out.String(), "token=demo-SEC…(masked)") {
		t.Errorf("prints %s", out.String())
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
