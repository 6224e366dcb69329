package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func TestGoodInputs(t *testing.T) {
	inputs, err := filepath.Glob("../testdata/good/*")
	if err != nil || len(inputs) < 6 {
		t.Fatal(inputs, err)
	}
	for _, input := range inputs {
		snapshot, err := Load(input)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range snapshot.Problems {
			t.Error(p)
		}
		if len(snapshot.Bottles) == 0 || snapshot.Files != 1 || snapshot.Documents != len(snapshot.Bottles) {
			t.Errorf("%s: %d bottles, %d files, %d documents", input, len(snapshot.Bottles), snapshot.Files, snapshot.Documents)
		}
		checkReadsAlike(t, input, snapshot)
	}
}

// checkReadsAlike compares what Load made of valid documents with what kubectl's YAML library makes of
// the same text: what is written has one meaning.
func checkReadsAlike(t *testing.T, path string, snapshot Snapshot) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\n"))
	for _, bottle := range snapshot.Bottles {
		var text []byte
		for _, line := range lines[bottle.Source.Line-1:] {
			if bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
				break
			}
			text = append(text, line...)
		}
		var read v1alpha1.Bottle
		if err := sigsyaml.UnmarshalStrict(text, &read); err != nil {
			t.Errorf("%s:%d: sigs.k8s.io/yaml: %v", path, bottle.Source.Line, err)
			continue
		}
		read.Source = bottle.Source
		rules.Complete(&read)
		if diff := cmp.Diff(read, bottle); diff != "" {
			t.Errorf("%s:%d: sigs.k8s.io/yaml reads it otherwise (-sigs +ours):\n%s", path, bottle.Source.Line, diff)
		}
	}
}

func TestLoadMakesValuesCanonical(t *testing.T) {
	abs, err := filepath.Abs("../testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.Bottle{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.Kind,
		Metadata: v1alpha1.Metadata{Name: "2026-01-31"},
		Source:   v1alpha1.Source{Path: filepath.Join(abs, "self-hosted.yaml"), Line: 1},
		Spec: v1alpha1.Spec{
			Egress: v1alpha1.Egress{
				Allowlist:    v1alpha1.Allow("*.example.com", "gitea", "192.168.7.9", "git.example.com:8443", "[fd12::1]:8443", "fd12::1"),
				DLPAction:    v1alpha1.DLPWarn,
				PrivateCIDRs: []string{"192.168.7.0/24", "fd12::/64", "10.1.2.3/32"},
			},
			CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{
				{Path: "/gitea/api/v1/", Upstream: "https://gitea.example.com:3000/api/v1", AuthScheme: "token", Token: route.SecretRef{File: filepath.Join(abs, "secrets/gitea")}, Roles: []route.Role{route.RoleTeaLogin, route.RoleGitInsteadOf}},
				{Path: "/npm/", Upstream: "https://registry.npmjs.org", AuthScheme: "Bearer", Token: route.SecretRef{Env: "NPM_TOKEN"}, Roles: []route.Role{route.RoleNPMRegistry}},
				{Path: "/lan/", Upstream: "http://192.168.7.9:8080/", AuthScheme: "Basic", Token: route.SecretRef{File: "/run/secrets/lan"}, InsecureUpstream: true},
				{Path: "/v6/", Upstream: "https://[fd12::1]:8443/x", AuthScheme: "Bearer", Token: route.SecretRef{Env: "_V6"}},
			}},
		},
	}
	got := loadOne(t, "../testdata/good/self-hosted.yaml")
	for field, line := range map[string]int{"spec.credProxy.routes[0].token": 20, "spec.credProxy.routes[1]": 23, "spec.agent.mounts[0].source": 6, "kind": 2} {
		if at := got.Source.LineOf(field); at != line {
			t.Errorf("%s in line %d, want %d", field, at, line)
		}
	}
	got.Source.Lines = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	agent := loadOne(t, "../testdata/good/agent.yaml").Spec.Agent
	if got, want := agent.Mounts[0].Source, filepath.Join(filepath.Dir(abs), "work"); got != want {
		t.Errorf("mount source %s, want %s", got, want)
	}
	if got := agent.Resources; got.MemoryBytes() != 3<<29 || got.NanoCPUs() != 5e8 {
		t.Errorf("resources %d bytes, %d nano CPUs", got.MemoryBytes(), got.NanoCPUs())
	}
	builds, err := Load("../testdata/good/build.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wantBuilds := []v1alpha1.Build{
		{Context: filepath.Join(filepath.Dir(abs), "agent"), Dockerfile: "Dockerfile", Network: v1alpha1.BuildNetworkNone},
		{Context: "/srv/agents", Dockerfile: "claude/agent.Dockerfile", Network: v1alpha1.BuildNetworkDefault},
	}
	if diff := cmp.Diff(wantBuilds, []v1alpha1.Build{*builds.Bottles[0].Spec.Agent.Build, *builds.Bottles[1].Spec.Agent.Build}); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
	if bundle := loadOne(t, "../testdata/good/full.yaml").Spec.CredProxy.CABundle; bundle != filepath.Join(abs, "ca.pem") {
		t.Errorf("CA bundle %s", bundle)
	}
}

// TestReferenceHasAValidExample loads the example of the manifest reference.
func TestReferenceHasAValidExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("no example in docs/manifest.md")
	}
	tree(t, map[string]string{"dev.yaml": example})
	if b := loadOne(t, "dev.yaml"); b.Spec.Agent == nil || b.Spec.CredProxy == nil {
		t.Errorf("the example is not complete: %+v", b)
	}
}

// TestReferenceHasAValidPolicy loads the policy of the manifest reference.
func TestReferenceHasAValidPolicy(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "kind: ApprovalPolicy\n")
	example, _, _ := strings.Cut(block, "```")
	tree(t, map[string]string{"policy.yaml": "apiVersion: bottled/v1alpha1\nkind: ApprovalPolicy\n" + example})
	s, err := Load("policy.yaml")
	if err != nil || len(s.Problems) > 0 || s.Policy == nil || s.Policy.Metadata.Name != "team" || len(s.Policy.Spec.Auto) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestReferenceHasAValidLegacyExample loads the example of a claude-bottle file.
func TestReferenceHasAValidLegacyExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```markdown\n")
	example, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("no example in docs/manifest.md")
	}
	tree(t, map[string]string{"dev.md": example})
	if b := loadOne(t, "dev.md"); b.Metadata.Name != "dev" || b.Spec.CredProxy == nil {
		t.Errorf("the example is not complete: %+v", b)
	}
}

// loadOne loads a file with one bottle and no problems.
func loadOne(t *testing.T, path string) v1alpha1.Bottle {
	t.Helper()
	snapshot, err := Load(path)
	if err != nil || len(snapshot.Problems) > 0 || len(snapshot.Bottles) != 1 {
		t.Fatal(snapshot, err)
	}
	return snapshot.Bottles[0]
}

// bottle is the text of a valid manifest.
func bottle(name string) string {
	return strings.ReplaceAll("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: NAME}\nspec: {}\n", "NAME", name)
}
