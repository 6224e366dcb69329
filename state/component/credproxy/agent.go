package credproxy

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// forAgent leads the agent's clients to the routes, by the routes' roles. It holds no token.
func forAgent(c component.Context) (component.AgentSetup, error) {
	setup := component.AgentSetup{Env: map[string]string{}, AddedEnv: map[string]string{}}
	setGit(c, &setup)
	for role, set := range map[route.Role]func(route.Route, *component.AgentSetup){
		route.RoleAnthropicBaseURL: setAnthropic, route.RoleOpenAIBaseURL: setOpenAI, route.RoleGeminiBaseURL: setGemini,
		route.RoleNPMRegistry: setNPM, route.RolePipIndex: setPip, route.RoleGoProxy: setGoProxy,
	} {
		for _, r := range routesWith(c, role) {
			set(r, &setup)
		}
	}
	cargo, err := cargoConfig(c)
	if err != nil {
		return setup, err
	}
	setup.Home = append(setup.Home, cargo...)
	slices.SortFunc(setup.Home, func(a, b state.HomeFile) int { return strings.Compare(a.Path, b.Path) })
	tea, err := teaLogins(c)
	if tea != "" {
		setup.Home = append(setup.Home, state.HomeFile{Path: ".config/tea/config.yml", Content: tea})
	}
	return setup, err
}

// urlOf is the address of a route for clients in the bottle.
func urlOf(r route.Route) string { return contract.CredProxy.URL() + r.Path }

// routesWith are the routes that have a role.
func routesWith(c component.Context, role route.Role) []route.Route {
	var with []route.Route
	for _, r := range c.Routes() {
		if r.Has(role) {
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
