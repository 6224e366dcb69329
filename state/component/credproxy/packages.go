package credproxy

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// setPip has pip and uv use a route as their index: the upstream itself if its path ends with "simple", otherwise simple/ below it, so
// that the files beside it are on the route, too. pip takes an index without TLS only from a host that it is told to trust
// (https://pip.pypa.io/en/stable/topics/configuration/, https://docs.astral.sh/uv/reference/environment/).
func setPip(r route.Route, setup *component.AgentSetup) {
	index := urlOf(r)
	if !strings.HasSuffix(strings.TrimSuffix(r.Upstream, "/"), "/simple") {
		index += "simple/"
	}
	setup.Env["PIP_INDEX_URL"], setup.Env["PIP_TRUSTED_HOST"], setup.Env["UV_DEFAULT_INDEX"] = index, contract.CredProxyName, index
}

// setGoProxy has Go download modules from a route, and from nowhere else.
func setGoProxy(r route.Route, setup *component.AgentSetup) {
	setup.Env["GOPROXY"] = strings.TrimSuffix(urlOf(r), "/")
}

// cratesIO is the index of crates.io, whose source Cargo defines itself: nobody else may.
const cratesIO = "sparse+https://index.crates.io/"

// cargoConfig has Cargo use routes in place of the registries that they stand for, by source replacement
// (https://doc.rust-lang.org/cargo/reference/source-replacement.html): lock files keep the registry's own URL. No variable can set that.
// Sources are called as `cargo vendor` calls them, so that a project which has vendored its crates goes on using those.
func cargoConfig(c component.Context) ([]state.HomeFile, error) {
	sources := map[string]map[string]string{}
	for _, r := range routesWith(c, route.RoleCargoRegistry) {
		for _, index := range route.CargoIndexes {
			own, ours := "sparse+"+strings.TrimSuffix(r.Upstream, "/")+"/"+index, "sparse+"+urlOf(r)+index
			sources[ours] = map[string]string{"registry": ours}
			if own == cratesIO {
				sources["crates-io"] = map[string]string{"replace-with": ours}
			} else {
				sources[own] = map[string]string{"registry": own, "replace-with": ours}
			}
		}
	}
	if len(sources) == 0 {
		return nil, nil
	}
	text, err := toml.Marshal(map[string]any{"source": sources})
	if err != nil {
		return nil, fmt.Errorf("cargo's configuration: %w", err)
	}
	return []state.HomeFile{{Path: ".cargo/config.toml", Content: string(text), Merge: true}}, nil
}

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
