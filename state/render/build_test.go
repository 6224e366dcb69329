package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

func built(context string) v1alpha1.Bottle {
	m := fullManifest()
	m.Spec.Agent.Image = ""
	m.Spec.Agent.Mounts = nil
	m.Spec.CredProxy = nil
	m.Spec.Agent.Build = &v1alpha1.Build{Context: context, Dockerfile: "Dockerfile", Network: v1alpha1.BuildNetworkNone}
	return m
}

// TestBuiltAgent: the image is named by what it is built from, and a supervised agent sees the real Dockerfile.
func TestBuiltAgent(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var builds buildcontext.Reader
	desire := func(context string) (state.Bottle, resolve.Inputs) {
		t.Helper()
		in, err := resolve.Reader{Settings: testSettings, Builds: &builds}.Read(built(context))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Bottle(built(context), in, testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		return b, in
	}
	write("FROM scratch\nCOPY . /\n")
	b, in := desire(dir)
	agent := b.Components[len(b.Components)-1]
	if agent.Name != state.Agent || agent.Container.Image != in.Build.Ref() || agent.Build != in.Build || !strings.HasPrefix(in.Build.Ref(), "bottled-agent:") {
		t.Errorf("%+v", agent)
	}
	for _, d := range b.Dirs {
		if f, ok := d.Files["Dockerfile"]; ok && string(f.Content.Reveal()) != "FROM scratch\nCOPY . /\n" {
			t.Errorf("the agent sees %s", f.Content.Reveal())
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if other, _ := desire(link); other.Components[len(other.Components)-1].Container.Image != agent.Container.Image {
		t.Error("the same content has another image by another path")
	}
	if b, err := Bottle(built(dir), resolve.Inputs{}, testNets, testSettings); err == nil {
		t.Errorf("a bottle of a context that was not read: %+v", b)
	}
	write("FROM scratch\nCOPY . /\nUSER 1\n")
	if other, _ := desire(dir); other.Components[len(other.Components)-1].Container.Image == agent.Container.Image || other.SpecHash != b.SpecHash {
		t.Error("other content has the same image, or another declaration")
	}
}

func TestReadBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	s := testSettings
	s.StateDir, s.RunDir = filepath.Join(dir, "state"), filepath.Join(dir, "run", "bottled")
	s.Shared = []string{} // nothing is shared with the engine's host, and nothing need be
	for _, d := range []string{"state/bottles/x", "state/git/1/tree/agent", "run/bottled", "good", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "Dockerfile"), []byte("FROM scratch"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "empty", "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	link := func(name, target string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for context, want := range map[string]string{
		filepath.Join(dir, "good"):                   "",
		filepath.Join(dir, "state/git/1/tree/agent"): "",
		link("link", "good"):                         "",
		filepath.Join(dir, "none"):                   "no such file",
		filepath.Join(dir, "empty"):                  "there is no Dockerfile in it",
		dir:                                          "bottled's own files",
		filepath.Join(dir, "state"):                  "bottled's own files",
		filepath.Join(dir, "state/bottles/x"):        "bottled's own files",
		filepath.Join(dir, "run"):                    "bottled's own files",
		link("own", "run/bottled"):                   "bottled's own files",
		link("root", "/"):                            "the host's own files",
		link("proc", "/proc/self"):                   "leads through a link of /proc",
	} {
		in, err := resolve.Reader{Settings: s, Builds: new(buildcontext.Reader)}.Read(built(context))
		if want == "" && (err != nil || in.Build == nil) {
			t.Errorf("%s: %v", context, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ":1: spec.agent.build: ")) {
			t.Errorf("%s: %v, want an error with %q", context, err, want)
		}
	}
}
