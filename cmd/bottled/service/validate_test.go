package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/source"
)

const referring = `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  egress: {allowlist: ["github.com:22", "[fd12::1]:5432", fd12::6379, api.github.com], privateCIDRs: ["fd12::/16"]}
  credProxy:
    caBundle: ./ca.pem
    routes:
      - path: /env/
        upstream: https://env.example.com
        token: {env: BOTTLED_TEST_NOT_SET}
      - path: /file/
        upstream: https://file.example.com
        token:
          file: ./token
  agent:
    image: agent:1
    runtime: RUNTIME
    mounts:
      - target: /work
        source: ./missing
`

// TestValidateReadsWhatIsReferredTo: what is wrong there is a problem, what this host lacks a warning, each with the line of its field.
func TestValidateReadsWhatIsReferredTo(t *testing.T) {
	s, _, e, dir := newService(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(runtime string) (problems, warnings []string) {
		t.Helper()
		write("one.yaml", strings.Replace(referring, "RUNTIME", runtime, 1))
		snapshot, err := s.Validate(t.Context(), []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range snapshot.Problems {
			problems = append(problems, strings.ReplaceAll(p.Error(), dir+"/", ""))
		}
		for _, notice := range (source.Snapshot{Warnings: snapshot.Warnings}).Notices() {
			warnings = append(warnings, strings.ReplaceAll(notice, dir+"/", ""))
		}
		return problems, warnings
	}
	missing := []string{
		"one.yaml:5:24: spec.egress.allowlist[0]: only HTTP and TLS pass pipelock, and port 22 is usually SSH; use git over https://, with a route of spec.credProxy for its token",
		"one.yaml:5:41: spec.egress.allowlist[1]: only HTTP and TLS pass pipelock, and port 5432 is usually PostgreSQL; run it inside the agent's image",
		"one.yaml:21:1: spec.agent.mounts[0].source: missing: not mounted: no such file or directory; make it on this host first, or correct the path",
		"one.yaml:11:1: spec.credProxy.routes[0].token: environment variable BOTTLED_TEST_NOT_SET is not set: export it where bottled runs, and restart bottled",
	}
	problems, warnings := lines("runsc")
	if diff := cmp.Diff(append(missing, "one.yaml:15:1: spec.credProxy.routes[1].token: open token: no such file or directory; put the token there, or correct the path",
		"one.yaml:7:1: spec.credProxy.caBundle: open ca.pem: no such file or directory; put the PEM file there, or correct the path"), warnings); diff != "" || len(problems) > 0 {
		t.Errorf("nothing is there: %q, warnings -want +got:\n%s", problems, diff)
	}
	write("token", "GITHUB_TOKEN=x\n")
	write("ca.pem", "x")
	problems, warnings = lines("gvisor")
	if diff := cmp.Diff([]string{
		"one.yaml:15:1: spec.credProxy.routes[1].token: token contains NAME=VALUE like an env file: put only the value there",
		"one.yaml:7:1: spec.credProxy.caBundle: ca.pem: not a PEM file of certificates",
	}, problems); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	runtime := `one.yaml:18:1: spec.agent.runtime: this host's engine has no runtime "gvisor", only runc, runsc; did you mean runsc?`
	if diff := cmp.Diff(append(missing, runtime), warnings); diff != "" {
		t.Errorf("warnings -want +got:\n%s", diff)
	}
	e.SetDown(true)
	if _, warnings = lines("gvisor"); len(warnings) != len(missing) {
		t.Errorf("without an engine: %q", warnings)
	}
}

// TestValidateWithoutAHome: a job of CI may run as a user that has none.
func TestValidateWithoutAHome(t *testing.T) {
	s, _, _, dir := newService(t)
	s.Settings.StateDir = "/dev/null"
	if _, err := s.Settings.StateSettings(""); err == nil {
		t.Fatal("that is a state directory")
	}
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(strings.Replace(referring, "RUNTIME", "runsc", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Validate(t.Context(), []string{dir})
	if err != nil || len(snapshot.Bottles) != 1 || len(snapshot.Problems) != 0 || len(snapshot.Warnings) != 6 {
		t.Errorf("%+v, %v", snapshot, err)
	}
}

func TestRuntimeFix(t *testing.T) {
	known := []string{"runc", "nvidia"}
	for runtime, want := range map[string]string{"nvida": "did you mean nvidia?", "gVisor": "did you mean runsc? add it to the engine", "wasmtime": "add it to the engine"} {
		if got := runtimeFix(runtime, known); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", runtime, got)
		}
	}
}
