package credproxy

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// forAgent leads the agent's clients to the routes, by the routes' roles. It holds no token.
func forAgent(c component.Context) (component.AgentSetup, error) {
	setup := component.AgentSetup{Env: gitEnv(c)}
	for _, r := range routesWith(c, route.RoleAnthropicBaseURL) {
		setup.Env["ANTHROPIC_BASE_URL"], setup.Env["ANTHROPIC_AUTH_TOKEN"] = urlOf(r), contract.Placeholder
	}
	for _, r := range routesWith(c, route.RoleNPMRegistry) {
		setup.Env["npm_config_registry"] = urlOf(r)
		// An address of cred-proxy in a lock file would lead nobody else to a package.
		setup.Env["npm_config_omit_lockfile_registry_resolved"] = "true"
	}
	tea, err := teaLogins(c)
	if tea != "" {
		setup.Home = []state.HomeFile{{Path: ".config/tea/config.yml", Content: tea}}
	}
	return setup, err
}

// urlOf is the address of a route for clients in the bottle.
func urlOf(r route.Route) string { return contract.CredProxy.URL() + r.Path }

// gitEnv is Git's own way of configuration without a file. Whatever way to an upstream a repository's address names, git goes to
// cred-proxy, with the same path.
func gitEnv(c component.Context) map[string]string {
	env := map[string]string{}
	count := 0
	for _, r := range routesWith(c, route.RoleGitInsteadOf) {
		for _, address := range gitAddresses(r.Upstream) {
			maps.Copy(env, map[string]string{
				fmt.Sprintf("GIT_CONFIG_KEY_%d", count):   "url." + urlOf(r) + ".insteadOf",
				fmt.Sprintf("GIT_CONFIG_VALUE_%d", count): address,
			})
			count++
		}
	}
	if count > 0 {
		env["GIT_CONFIG_COUNT"] = strconv.Itoa(count)
	}
	return env
}

// gitAddresses are the prefixes of the addresses that lead to an upstream: its own, and those of SSH.
func gitAddresses(upstream string) []string {
	own := strings.TrimSuffix(upstream, "/") + "/"
	u, err := url.Parse(own)
	if err != nil {
		return []string{own}
	}
	path := strings.TrimPrefix(u.Path, "/")
	return []string{own, "git@" + u.Hostname() + ":" + path, "ssh://git@" + u.Hostname() + "/" + path}
}

// routesWith are the routes that have a role.
func routesWith(c component.Context, role route.Role) []route.Route {
	var with []route.Route
	for _, r := range c.Routes() {
		if slices.Contains(r.Roles, role) {
			with = append(with, r)
		}
	}
	return with
}

// teaLogin is an entry of the configuration file of tea, Gitea's command line client.
type teaLogin struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Token   string `json:"token"`
	Default bool   `json:"default"`
	SSHHost string `json:"ssh_host"` // by it tea knows the clones of a server
}

// teaLogins is that file, with a login for each route that has the role; "" when none has.
func teaLogins(c component.Context) (string, error) {
	var logins []teaLogin
	for _, r := range routesWith(c, route.RoleTeaLogin) {
		u, err := url.Parse(r.Upstream)
		if err != nil {
			return "", fmt.Errorf("tea's logins: %w", err)
		}
		logins = append(logins, teaLogin{
			Name: path.Base(r.Path), URL: strings.TrimSuffix(urlOf(r), "/"), Token: contract.Placeholder, Default: len(logins) == 0, SSHHost: u.Hostname(),
		})
	}
	if logins == nil {
		return "", nil
	}
	text, err := yaml.Marshal(map[string]any{"logins": logins})
	if err != nil {
		return "", fmt.Errorf("tea's logins: %w", err)
	}
	return string(text), nil
}
