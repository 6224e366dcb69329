package credproxy

import (
	"net/url"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/component"
)

// setNPM has npm and its relatives use a route as their registry.
func setNPM(r route.Route, setup *component.AgentSetup) {
	registry, withoutSlash := urlOf(r), strings.TrimSuffix(urlOf(r), "/")
	setup.Env["npm_config_registry"] = registry
	// An address of cred-proxy in a lock file would lead nobody else to a package.
	setup.Env["npm_config_omit_lockfile_registry_resolved"] = "true"

	// Lock files name the registry itself. npm replaces the host that this names by the registry; by default it is registry.npmjs.org.
	if u, err := url.Parse(r.Upstream); err == nil {
		setup.AddedEnv["npm_config_replace_registry_host"] = u.Hostname()
	}
	// pnpm reads its own variables only since version 11 (https://pnpm.io/blog/releases/11.0).
	setup.AddedEnv["pnpm_config_registry"] = registry
	// Corepack and Bun have variables of their own, too (Corepack's README; Bun's guide on registries).
	setup.AddedEnv["COREPACK_NPM_REGISTRY"] = withoutSlash
	setup.AddedEnv["BUN_CONFIG_REGISTRY"] = registry
	// Yarn since version 2 reads YARN_… for each of its settings, and nothing of npm's. It takes no registry without TLS unless told to
	// (https://yarnpkg.com/configuration/yarnrc).
	setup.AddedEnv["YARN_NPM_REGISTRY_SERVER"] = withoutSlash
	setup.AddedEnv["YARN_UNSAFE_HTTP_WHITELIST"] = contract.CredProxyName
}
