package clients

var nodeRows = []row{
	{
		client: "npm", does: "installs a package, and a scoped one, by the role `npm-registry`", gets: "both, by the route; the lock file names no address of the bottle",
		script: `echo '{"name":"mine","version":"1.0.0"}' > package.json
npm install --no-fund left-pad @acme/widget
cat node_modules/left-pad/package.json node_modules/@acme/widget/package.json
! grep cred-proxy package-lock.json`,
		prints: []string{`"left-pad"`, `"@acme/widget"`},
		upstream: []string{
			"GET https://npm.example/registry/left-pad auth=token", "GET https://npm.example/registry/left-pad/-/left-pad-1.0.0.tgz auth=token",
			"GET https://npm.example/registry/@acme%2fwidget auth=token", "GET https://npm.example/registry/@acme/widget/-/widget-1.0.0.tgz auth=token",
		},
	},
	{
		client: "npm", does: "installs by a lock file that names the route's upstream", gets: "the package, by the route",
		script:   npmLock("own", "https://npm.example/registry/own/-/own-1.0.0.tgz"),
		prints:   []string{`"own"`},
		upstream: []string{"GET https://npm.example/registry/own/-/own-1.0.0.tgz auth=token"},
		never:    []string{"/own-1.0.0.tgz auth=none", "/registry/registry/"},
	},
	{
		client: "npm", does: "installs by a lock file that names registry.npmjs.org, with `npm_config_replace_registry_host=npmjs`", gets: "the package, by the route",
		script:   "export npm_config_replace_registry_host=npmjs\n" + npmLock("locked", "https://registry.npmjs.org/locked/-/locked-1.0.0.tgz"),
		prints:   []string{`"locked"`},
		upstream: []string{"GET https://npm.example/registry/locked/-/locked-1.0.0.tgz auth=token"},
	},
	{
		client: "npm", does: "installs a package whose download the registry redirects to an allowed host, as GitHub Packages does", gets: "the package",
		script: `npm install --no-audit --no-fund elsewhere-package
cat node_modules/elsewhere-package/package.json`,
		prints:   []string{`"elsewhere-package"`},
		upstream: []string{"GET https://files.example/npm/elsewhere-package?X-Amz-Signature=s3 auth=none"},
	},
	{
		client: "npm", does: "installs a scope whose registry is `${npm_config_registry}` in `.npmrc`", gets: "the package, by the route",
		script: `echo '@team:registry=${npm_config_registry}' > .npmrc
npm install --no-audit --no-fund @team/widget
cat node_modules/@team/widget/package.json`,
		prints:   []string{`"@team/widget"`},
		upstream: []string{"GET https://npm.example/registry/@team/widget/-/widget-1.0.0.tgz auth=token"},
	},
	{
		client: "npm", does: "publishes a package, with a placeholder for the token as an option", gets: "the package is in the registry",
		script: `echo '{"name":"@acme/published","version":"2.0.0"}' > package.json
npm publish --//cred-proxy:9099/npm/:_authToken=bottled-placeholder`,
		prints:   []string{"+ @acme/published@2.0.0"},
		upstream: []string{"PUT https://npm.example/registry/@acme%2fpublished auth=token"},
	},
	{
		// network/fetch/src/fetchFromRegistry.ts of pnpm/pnpm.
		client: "curl", does: "asks the npm registry for a scoped package as pnpm does", gets: "metadata whose tarballs are on the route",
		script: `curl -fsS --compressed -H 'Accept: application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*' -A pnpm \
	"${pnpm_config_registry}@acme%2Fgadget"`,
		prints:   []string{`"tarball":"http://cred-proxy:9099/npm/@acme/gadget/-/gadget-1.0.0.tgz"`},
		upstream: []string{"GET https://npm.example/registry/@acme%2Fgadget auth=token"},
	},
	{
		client: "curl", does: "asks for a package at the registry of Bun, Corepack and Yarn", gets: "its metadata",
		script: `for registry in "$BUN_CONFIG_REGISTRY" "$COREPACK_NPM_REGISTRY/" "$YARN_NPM_REGISTRY_SERVER/"; do
	curl -fsS -w '\n%{http_code}\n' -o /dev/null "${registry}yarn"
done`,
		prints: []string{"200\n\n200\n\n200\n"},
	},
	{
		client: "npm", does: "installs from a registry that is not allowed", gets: "an error that says why",
		script: `npm install --fetch-retries 0 --registry https://other.example/ left-pad`, fails: true,
		prints: []string{refusal},
	},
	{
		client: "Node", does: "asks a route by `fetch`", gets: "the answer",
		script:   `node -e 'fetch(process.env.ANTHROPIC_BASE_URL + "v1/models?node").then(async r => console.log(r.status, await r.text()))'`,
		prints:   []string{"200", "model-1"},
		upstream: []string{"/v1/models?node auth=token"},
	},
	{
		client: "undici", does: "opens an HTTPS page by its `ProxyAgent`", gets: "the page",
		script: undici("https://docs.example/"), prints: []string{"200 the documentation"},
	},
	{
		// undici before April 2026, and so Node 22 and 24, send CONNECT for http:// as well: nodejs/undici#4083, nodejs/node#62926.
		client: "undici", does: "asks a route by its `ProxyAgent`, without TLS inside CONNECT", gets: "the answer",
		script:   undici("http://cred-proxy:9099/model/v1/models?undici"),
		prints:   []string{"200", "model-1"},
		upstream: []string{"GET https://api.model.example/v1/models?undici auth=token"},
	},
	{
		client: "undici", does: "opens an HTTP page by its `ProxyAgent`, without TLS inside CONNECT", gets: "the page",
		script: undici("http://docs.example/?undici"), prints: []string{"200 the documentation"},
		upstream: []string{"GET http://docs.example/?undici auth=none"},
	},
}

func npmLock(name, resolved string) string {
	return `echo '{"name":"mine","version":"1.0.0","dependencies":{"` + name + `":"1.0.0"}}' > package.json
echo '{"name":"mine","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"mine","version":"1.0.0","dependencies":{"` + name + `":"1.0.0"}},"node_modules/` + name + `":{"version":"1.0.0","resolved":"` + resolved + `"}}}' > package-lock.json
npm ci --no-fund --no-audit
cat node_modules/` + name + `/package.json
`
}

// undici opens a page as Node's programs do that set undici's ProxyAgent.
func undici(url string) string {
	return `export NODE_PATH=/usr/share/nodejs
node -e '
const { fetch, ProxyAgent } = require("undici")
fetch("` + url + `", { dispatcher: new ProxyAgent(process.env.HTTPS_PROXY) })
  .then(async r => console.log(r.status, await r.text()))'
`
}
