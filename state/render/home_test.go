package render

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

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
	of := func(env map[string]string, prefixes ...string) map[string]string {
		got := map[string]string{}
		for name, value := range env {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
				got[name] = value
			}
		}
		return got
	}
	if diff := cmp.Diff(want, of(agent.Env, "GIT_", "npm_")); diff != "" {
		t.Errorf("the environment (-want +got)\n%s", diff)
	}
	added := map[string]string{
		"npm_config_replace_registry_host": "registry.npmjs.org", "pnpm_config_registry": "http://cred-proxy:9099/npm/",
		"COREPACK_NPM_REGISTRY": "http://cred-proxy:9099/npm", "BUN_CONFIG_REGISTRY": "http://cred-proxy:9099/npm/",
		"YARN_NPM_REGISTRY_SERVER": "http://cred-proxy:9099/npm", "YARN_UNSAFE_HTTP_WHITELIST": "cred-proxy",
		"YARN_HTTP_PROXY": "http://pipelock:8888", "YARN_HTTPS_PROXY": "http://pipelock:8888", "NODE_USE_ENV_PROXY": "1",
	}
	if diff := cmp.Diff(added, of(agent.Additions.Env, "npm_", "pnpm_", "COREPACK_", "BUN_", "YARN_", "NODE_")); diff != "" {
		t.Errorf("the additions (-want +got)\n%s", diff)
	}
}

// Cargo replaces the registries that routes stand for, crates.io by the name that Cargo has for it.
func TestCargoSources(t *testing.T) {
	m := fullManifest()
	role := []route.Role{route.RoleCargoRegistry}
	m.Spec.CredProxy.Routes = []route.Route{
		{Path: "/acme/", Upstream: "https://cargo.example.com/crates/", Token: route.SecretRef{Env: "A"}, Roles: role},
		{Path: "/io/", Upstream: "https://index.crates.io", Token: route.SecretRef{Env: "A"}, Roles: role},
	}
	const (
		acme, io = "sparse+http://cred-proxy:9099/acme/", "sparse+http://cred-proxy:9099/io/"
		own      = "sparse+https://cargo.example.com/crates/"
		cratesIO = "sparse+https://index.crates.io/"
	)
	want := map[string]map[string]map[string]string{"source": {
		own: {"registry": own, "replace-with": acme}, own + "index/": {"registry": own + "index/", "replace-with": acme + "index/"},
		acme: {"registry": acme}, acme + "index/": {"registry": acme + "index/"},
		"crates-io": {"replace-with": io}, cratesIO + "index/": {"registry": cratesIO + "index/", "replace-with": io + "index/"},
		io: {"registry": io}, io + "index/": {"registry": io + "index/"},
	}}
	var got map[string]map[string]map[string]string
	if err := toml.Unmarshal([]byte(homeFile(agentOf(t, m), ".cargo/config.toml")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a manifest sets itself stays, in whatever case.
func TestManifestSetsAdditions(t *testing.T) {
	m := fullManifest()
	m.Spec.CredProxy.Routes = []route.Route{{Path: "/npm/", Upstream: "https://a.example", Token: route.SecretRef{Env: "A"}, Roles: []route.Role{route.RoleNPMRegistry}}}
	m.Spec.Agent.Env = map[string]v1alpha1.EnvValue{
		"JAVA_TOOL_OPTIONS": {Text: "-Xmx1g"}, "NODE_USE_ENV_PROXY": {Text: "0"}, "NPM_CONFIG_REPLACE_REGISTRY_HOST": {Text: "npmjs"},
	}
	env, _ := agentOf(t, m).NewEnv(nil)
	for name, want := range map[string]string{
		"JAVA_TOOL_OPTIONS": "-Xmx1g", "NODE_USE_ENV_PROXY": "0", "NPM_CONFIG_REPLACE_REGISTRY_HOST": "npmjs", "npm_config_replace_registry_host": "",
		"pnpm_config_registry": "http://cred-proxy:9099/npm/",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
}

// Git itself says where it goes for a URL.
func TestGitGoesToTheRoute(t *testing.T) {
	m := fullManifest()
	role := []route.Role{route.RoleGitInsteadOf}
	m.Spec.CredProxy.Routes = []route.Route{
		{Path: "/hub/", Upstream: "https://github.com", Token: route.SecretRef{Env: "A"}, Roles: role},
		{Path: "/azure/", Upstream: "https://dev.azure.com/acme", Token: route.SecretRef{Env: "A"}, Roles: role, GitURLs: []string{"https://acme@dev.azure.com/acme/"}},
		{Path: "/own/", Upstream: "https://git.lan:8443/", Token: route.SecretRef{Env: "A"}, Roles: role, GitURLs: []string{"ssh://git@git.lan:2222/", "https://Git.LAN:8443/"}},
	}
	env, _ := agentOf(t, m).NewEnv(nil)
	environment := []string{"HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "PATH=" + os.Getenv("PATH")}
	for name, value := range env {
		if strings.HasPrefix(name, "GIT_") {
			environment = append(environment, name+"="+value)
		}
	}
	const proxy = "http://cred-proxy:9099"
	for url, want := range map[string]string{
		"https://github.com/o/r.git":                  proxy + "/hub/o/r.git",
		"https://git@github.com/o/r":                  proxy + "/hub/o/r",
		"https://github.com:443/o/r.git":              proxy + "/hub/o/r.git",
		"https://git@github.com:443/o/r.git":          proxy + "/hub/o/r.git",
		"http://github.com/o/r":                       proxy + "/hub/o/r",
		"git://github.com/o/r":                        proxy + "/hub/o/r",
		"git@github.com:o/r.git":                      proxy + "/hub/o/r.git",
		"git@github.com:/o/r.git":                     proxy + "/hub//o/r.git", // two slashes behind a route's path are one
		"github.com:o/r.git":                          proxy + "/hub/o/r.git",
		"ssh://git@github.com/o/r.git":                proxy + "/hub/o/r.git",
		"ssh://git@github.com:22/o/r.git":             proxy + "/hub/o/r.git",
		"ssh://github.com/o/r.git":                    proxy + "/hub/o/r.git",
		"git+ssh://git@github.com/o/r.git":            proxy + "/hub/o/r.git",
		"ssh+git://git@github.com/o/r.git":            proxy + "/hub/o/r.git",
		"https://dev.azure.com/acme/p/_git/r":         proxy + "/azure/p/_git/r",
		"https://acme@dev.azure.com/acme/p/_git/r":    proxy + "/azure/p/_git/r",
		"git@dev.azure.com:/acme/p/r":                 proxy + "/azure/p/r",
		"https://git.lan:8443/o/r":                    proxy + "/own/o/r",
		"https://git@git.lan:8443/o/r":                proxy + "/own/o/r",
		"https://Git.LAN:8443/o/r":                    proxy + "/own/o/r",
		"ssh://git@git.lan:2222/o/r":                  proxy + "/own/o/r",
		"https://git.lan/o/r":                         "https://git.lan/o/r", // another server
		"https://other@dev.azure.com/acme/p/_git/r":   "https://other@dev.azure.com/acme/p/_git/r",
		"https://dev.azure.com/other/p/_git/r":        "https://dev.azure.com/other/p/_git/r",
		"https://github.com.evil.example/o/r":         "https://github.com.evil.example/o/r",
		"git@github.com.evil.example:o/r":             "git@github.com.evil.example:o/r",
		"https://gitlab.com/o/r.git?x=git@github.com": "https://gitlab.com/o/r.git?x=git@github.com",
	} {
		cmd := exec.Command("git", "ls-remote", "--get-url", url)
		cmd.Env = environment
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", url, got, err, want)
		}
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
	if got, want := homeFile(agent, ".codex/config.toml"), "[mcp_servers.supervise]\nurl = \"http://supervise:9100\"\ntool_timeout_sec = 86400\n"; got != want {
		t.Errorf("Codex: %q, want %q", got, want)
	}
	if got := homeFile(agent, ".gemini/settings.json"); !strings.Contains(got, `"httpUrl": "http://supervise:9100"`) {
		t.Errorf("Gemini CLI: %q", got)
	}
	m.Spec.Supervise, m.Spec.CredProxy.Routes = false, nil
	if agent := agentOf(t, m); len(agent.HomeFiles()) > 0 {
		t.Errorf("not supervised, without roles: %v", agent.HomeFiles())
	}
}

// Each role of a model or a package registry, with the upstreams that people write.
func TestRolesOfModelsAndPackages(t *testing.T) {
	const proxy = "http://cred-proxy:9099/x"
	type vars = map[string]string
	for _, test := range []struct {
		role     route.Role
		upstream string
		want     vars
	}{
		{route.RoleOpenAIBaseURL, "https://api.openai.com", vars{"OPENAI_BASE_URL": proxy + "/v1", "OPENAI_API_KEY": "bottled-placeholder"}},
		{route.RoleOpenAIBaseURL, "https://api.openai.com/v1", vars{"OPENAI_BASE_URL": proxy}},
		{route.RoleOpenAIBaseURL, "https://openrouter.ai/api/v1/", vars{"OPENAI_BASE_URL": proxy}},
		{route.RoleGeminiBaseURL, "https://generativelanguage.googleapis.com", vars{"GOOGLE_GEMINI_BASE_URL": proxy, "GEMINI_API_KEY": "bottled-placeholder"}},
		{route.RolePipIndex, "https://pypi.example", vars{"PIP_INDEX_URL": proxy + "/simple/", "UV_DEFAULT_INDEX": proxy + "/simple/", "PIP_TRUSTED_HOST": "cred-proxy"}},
		{route.RolePipIndex, "https://pypi.example/root/simple/", vars{"PIP_INDEX_URL": proxy + "/", "UV_DEFAULT_INDEX": proxy + "/"}},
		{route.RoleGoProxy, "https://goproxy.example/athens", vars{"GOPROXY": proxy}},
	} {
		m := fullManifest()
		m.Spec.CredProxy.Routes = []route.Route{{Path: "/x/", Upstream: test.upstream, Token: route.SecretRef{Env: "A"}, Roles: []route.Role{test.role}}}
		agent := agentOf(t, m)
		for name, want := range test.want {
			if got := agent.Env[name]; got != want {
				t.Errorf("%s at %s: %s is %q, want %q", test.role, test.upstream, name, got, want)
			}
		}
		if config := homeFile(agent, ".codex/config.toml"); test.role == route.RoleOpenAIBaseURL && !strings.Contains(config, `base_url = "`+test.want["OPENAI_BASE_URL"]+`"`) {
			t.Errorf("Codex: %s", config)
		}
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
	for _, f := range c.HomeFiles() {
		if f.Path == path {
			return f.Content
		}
	}
	return ""
}
