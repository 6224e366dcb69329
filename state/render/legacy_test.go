package render

import (
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

// fromMarkdown is a bottle as a claude-bottle file declares it: with an agent, but no image for it.
func fromMarkdown(env map[string]v1alpha1.EnvValue) v1alpha1.Bottle {
	m := fullManifest()
	m.Source.Path = "/etc/bottles/dev.md"
	m.Spec.Agent = &v1alpha1.Agent{Env: env}
	return m
}

func TestImageOfAgent(t *testing.T) {
	env := map[string]v1alpha1.EnvValue{"LANG": {Text: "C.UTF-8"}}
	without := fullManifest()
	without.Spec.Agent = nil
	for name, c := range map[string]struct {
		manifest      v1alpha1.Bottle
		setting, want string
	}{
		"declared":                          {fullManifest(), "", "my-agent:latest"},
		"declared, and set":                 {fullManifest(), "other:1", "my-agent:latest"},
		"set":                               {fromMarkdown(env), "other:1", "other:1"},
		"set, without an environment":       {fromMarkdown(nil), "other:1", "other:1"},
		"neither, and nothing to run it in": {fromMarkdown(nil), "", ""},
		"no agent at all":                   {without, "other:1", ""},
	} {
		s := testSettings
		s.AgentImage = c.setting
		b, err := Bottle(c.manifest, inputsOf(c.manifest), testNets, s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		i := slices.IndexFunc(b.Components, func(m state.Component) bool { return m.Name == state.Agent })
		switch {
		case c.want == "" && i >= 0:
			t.Errorf("%s: an agent of %s", name, b.Components[i].Container.Image)
		case c.want != "" && (i < 0 || b.Components[i].Container.Image != c.want):
			t.Errorf("%s: no agent of %s", name, c.want)
		}
		dockerfile := ""
		for _, dir := range b.Dirs {
			if file, ok := dir.Files["Dockerfile"]; ok {
				dockerfile = string(file.Content.Reveal())
			}
		}
		if want := "FROM " + c.want + "\n"; dockerfile != want && (c.want != "" || dockerfile != "") {
			t.Errorf("%s: Dockerfile %q", name, dockerfile)
		}
	}
}

// TestErrorsAreInTheFilesWords: an error about a claude-bottle file names the file's own fields.
func TestErrorsAreInTheFilesWords(t *testing.T) {
	m := fromMarkdown(map[string]v1alpha1.EnvValue{"LANG": {Text: "C.UTF-8"}})
	_, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err == nil || !strings.HasPrefix(err.Error(), "env: ") || !strings.Contains(err.Error(), "--agent-image") {
		t.Errorf("no image: %v", err)
	}
	m.Spec.Egress.Allowlist = v1alpha1.Allow("git.example.com:8443")
	s := testSettings
	s.Images, s.AgentImage = map[state.ComponentName]string{state.Pipelock: "official:1"}, "other:1"
	if _, err := Bottle(m, inputsOf(m), testNets, s); err == nil || !strings.HasPrefix(err.Error(), "egress.allowlist[0]: ") {
		t.Errorf("a port: %v", err)
	}
	m.Spec.CredProxy.CABundle = ""
	_, err = resolve.Reader{Settings: s, Getenv: func(string) (string, bool) { return "", false }}.Read(m)
	if err == nil || !strings.Contains(err.Error(), ":1: cred_proxy.routes[0].token_ref: environment variable TOKEN is not set") {
		t.Errorf("no token: %v", err)
	}
}
