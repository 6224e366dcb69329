package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// The agent's programs go to cred-proxy with a placeholder in the token's place.
func TestRolesForAgent(t *testing.T) {
	m := fullManifest()
	m.Spec.CredProxy.Routes = []route.Route{
		{Path: "/gitea/", Upstream: "https://git.example.com/base", Token: route.SecretRef{Env: "A"}, Roles: []route.Role{route.RoleTeaLogin, route.RoleGitInsteadOf}},
		{Path: "/forge/two/", Upstream: "https://two.example.com:8443", Token: route.SecretRef{Env: "A"}, Roles: []route.Role{route.RoleTeaLogin, route.RoleGitInsteadOf}},
		{Path: "/npm/", Upstream: "https://registry.npmjs.org", Token: route.SecretRef{Env: "A"}, Roles: []route.Role{route.RoleNPMRegistry}},
	}
	agent := agentOf(t, m)
	const logins = `logins:
- default: true
  name: gitea
  ssh_host: git.example.com
  token: bottled-placeholder
  url: http://cred-proxy:9099/gitea
- default: false
  name: two
  ssh_host: two.example.com
  token: bottled-placeholder
  url: http://cred-proxy:9099/forge/two
`
	if diff := cmp.Diff(logins, homeFile(agent, ".config/tea/config.yml")); diff != "" {
		t.Errorf("tea's logins (-want +got)\n%s", diff)
	}
	want := map[string]string{
		"GIT_CONFIG_COUNT": "6",
		"GIT_CONFIG_KEY_0": "url.http://cred-proxy:9099/gitea/.insteadOf", "GIT_CONFIG_VALUE_0": "https://git.example.com/base/",
		"GIT_CONFIG_KEY_1": "url.http://cred-proxy:9099/gitea/.insteadOf", "GIT_CONFIG_VALUE_1": "git@git.example.com:base/",
		"GIT_CONFIG_KEY_2": "url.http://cred-proxy:9099/gitea/.insteadOf", "GIT_CONFIG_VALUE_2": "ssh://git@git.example.com/base/",
		"GIT_CONFIG_KEY_3": "url.http://cred-proxy:9099/forge/two/.insteadOf", "GIT_CONFIG_VALUE_3": "https://two.example.com:8443/",
		"GIT_CONFIG_KEY_4": "url.http://cred-proxy:9099/forge/two/.insteadOf", "GIT_CONFIG_VALUE_4": "git@two.example.com:",
		"GIT_CONFIG_KEY_5": "url.http://cred-proxy:9099/forge/two/.insteadOf", "GIT_CONFIG_VALUE_5": "ssh://git@two.example.com/",
		"npm_config_registry": "http://cred-proxy:9099/npm/", "npm_config_omit_lockfile_registry_resolved": "true",
	}
	got := map[string]string{}
	for name, value := range agent.Env {
		if strings.HasPrefix(name, "GIT_") || strings.HasPrefix(name, "npm_") {
			got[name] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the environment (-want +got)\n%s", diff)
	}
}

// Claude Code learns of supervise where there is one, and nothing is put into a home where nothing is needed.
func TestHomeFollowsTheManifest(t *testing.T) {
	m := fullManifest()
	m.Spec.Supervise = true
	agent := agentOf(t, m)
	for _, path := range []string{".claude.json", ".mcp.json"} {
		if got := homeFile(agent, path); !strings.Contains(got, `"url": "http://supervise:9100"`) || !strings.Contains(got, `"type": "http"`) {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := homeFile(agent, ".claude/settings.json"); !strings.Contains(got, `"mcp__supervise"`) {
		t.Errorf("settings: %q", got)
	}
	m.Spec.Supervise, m.Spec.CredProxy.Routes = false, nil
	if agent := agentOf(t, m); len(agent.Home) > 0 {
		t.Errorf("not supervised, without roles: %v", agent.Home)
	}
}

func agentOf(t *testing.T, m v1alpha1.Bottle) state.Container {
	t.Helper()
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	return b.Components[len(b.Components)-1].Container
}

func homeFile(c state.Container, path string) string {
	for _, f := range c.Home {
		if f.Path == path {
			return f.Content
		}
	}
	return ""
}
