package clients

import "slices"

// rows is the table.
func rows() []row { return slices.Concat(curlRows, gitRows, nodeRows, pythonRows, goRows, javaRows) }

// refusal is how pipelock says in its status line that a host is not allowed.
const refusal = "Blocked by sandbox policy: domain not in allowlist: other.example"

var curlRows = []row{
	{
		client: "curl", does: "asks a route at the base URL of the role `anthropic-base-url`", gets: "the answer; the token is added",
		script:   `curl -fsS "${ANTHROPIC_BASE_URL}v1/models"`,
		prints:   []string{"model-1"},
		upstream: []string{"GET https://api.model.example/v1/models auth=token"},
	},
	{
		client: "curl", does: "asks `$ANTHROPIC_BASE_URL/v1/…`, with two slashes", gets: "the answer",
		script:   `curl -fsS "$ANTHROPIC_BASE_URL/v1/models?slashes"`,
		prints:   []string{"model-1"},
		upstream: []string{"GET https://api.model.example/v1/models?slashes auth=token"},
	},
	{
		client: "curl", does: "sends a token of its own to a route", gets: "it is replaced by the route's",
		script:   `curl -fsS -H "Authorization: Bearer $ANTHROPIC_AUTH_TOKEN" -H 'x-api-key: mine' "${ANTHROPIC_BASE_URL}v1/models?own"`,
		prints:   []string{"model-1"},
		upstream: []string{"GET https://api.model.example/v1/models?own auth=token"},
	},
	{
		client: "curl", does: "reads server-sent events of a route", gets: "each event at once",
		script: `url=${ANTHROPIC_BASE_URL}v1/streams/curl
curl -fsSN -d '{"stream":true}' "$url" | while read -r line; do
	echo "$line"
	case $line in *"event 1"*) curl -fsS -X POST "$url/arrived" ;; esac
done`,
		prints: []string{"data: event 1", "data: event 2"},
	},
	{
		client: "curl", does: "uploads 20 MB to a route (with `Expect: 100-continue`)", gets: "it arrives",
		script: `head -c 20000000 /dev/urandom > file
sha256sum file
curl -fsS -T file -H 'Expect: 100-continue' "${ANTHROPIC_BASE_URL}v1/files/large"`,
		prints:   []string{`"bytes":20000000`},
		upstream: []string{"PUT https://api.model.example/v1/files/large auth=token"},
	},
	{
		client: "curl", does: "sends a body in `Content-Encoding: gzip`", gets: "it arrives as it was sent",
		script:   `printf '{"messages":[]}' | gzip | curl -fsS -H 'Content-Encoding: gzip' --data-binary @- "${ANTHROPIC_BASE_URL}v1/responses?gzip"`,
		prints:   []string{`"encoding":"gzip"`},
		upstream: []string{`/v1/responses?gzip auth=token content-encoding="gzip"`},
	},
	{
		client: "curl", does: "sends a secret, in clear or compressed by gzip", gets: "403 that names the rule",
		script: secret + `echo "$secret" | curl -sS --data-binary @- "$url"
echo "$secret" | gzip | curl -sS -H 'Content-Encoding: gzip' --data-binary @- -o /dev/null -w '%{http_code}\n' "$url"`,
		prints: []string{"aws-access-token", "403\n"},
		never:  []string{"received /v1/messages?secret"},
	},
	{
		client: "curl", does: "opens a page of an allowed host, by HTTPS or HTTP", gets: "the page",
		script:   `curl -fsS https://docs.example/ http://docs.example/`,
		prints:   []string{"the documentation\nthe documentation\n"},
		upstream: []string{"GET https://docs.example/ auth=none", "GET http://docs.example/ auth=none"},
	},
	{
		client: "curl", does: "opens a page of a host that is not allowed, by HTTPS", gets: "no connection; with `-v` the reason",
		script: `curl -v https://other.example/`, fails: true,
		prints: []string{refusal},
	},
	{
		client: "curl", does: "asks a route directly, in HTTP/2 without TLS", gets: "the answer, on HTTP/2",
		script: `curl -fsS --noproxy '*' --http2-prior-knowledge -w '%{http_version}\n' "${ANTHROPIC_BASE_URL}v1/models?h2c"`,
		prints: []string{"model-1", "\n2\n"},
	},
	{
		// Codex tries a WebSocket first, and goes on with HTTP at once only after 426: openai/codex#43353, openai/codex#10139.
		client: "curl", does: "opens a WebSocket on a route as Codex does, also inside CONNECT or directly", gets: "426 at once",
		script: `for way in '-x http://pipelock:8888' '-p -x http://pipelock:8888' '--noproxy *'; do
	set -f
	curl -sS -o /dev/null -w '%{http_code}\n' $way -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
		-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "${ANTHROPIC_BASE_URL}v1/responses"
done`,
		prints: []string{"426\n426\n426\n"},
	},
	{
		client: "curl", does: "sends a secret inside CONNECT, without TLS", gets: "403 that names the rule",
		script: secret + `echo "$secret" | curl -sSp -x http://pipelock:8888 --data-binary @- "$url"`,
		prints: []string{"aws-access-token"},
		never:  []string{"received /v1/messages?secret"},
	},
}

// secret makes one that no file of this repository has.
const secret = `secret=AKIA$(printf 'QYLPMN5HHHFPZAM2')
url=${ANTHROPIC_BASE_URL}v1/messages?secret
`

var gitRows = []row{
	{
		client: "git", does: "clones `https://HOST/…` of the role `git-insteadof`", gets: "the repository, by the route",
		script:   gitClone("https://git.example/team/project.git"),
		prints:   []string{"the project"},
		upstream: []string{"GET https://git.example/team/project.git/info/refs?service=git-upload-pack auth=token"},
		never:    []string{"https://git.example/team/project.git/info/refs?service=git-upload-pack auth=none"},
	},
	{
		client: "git", does: "clones `git@HOST:…`", gets: "the repository, by the route",
		script: gitClone("git@git.example:team/project.git"), prints: []string{"the project"},
	},
	{
		client: "git", does: "clones `ssh://git@HOST/…`", gets: "the repository, by the route",
		script: gitClone("ssh://git@git.example/team/project.git"), prints: []string{"the project"},
	},
	{
		client: "git", does: "fetches 40 branches (the request is compressed), shallow and partial", gets: "them all",
		script: `git clone -q --depth 1 --no-single-branch https://git.example/team/project.git .
git branch -r | grep -c topic-
git clone -q --filter=blob:none https://git.example/team/project.git partial
cat partial/README`,
		prints:   []string{"40\n", "the project"},
		upstream: []string{`POST https://git.example/team/project.git/git-upload-pack auth=token content-encoding="gzip"`},
	},
	{
		client: "git", does: "pushes", gets: "403 that says why",
		script: `git clone -q https://git.example/team/project.git .
git push origin HEAD:refs/heads/more`, fails: true,
		prints: []string{"push", "not allowed", "403"},
		never:  []string{"service=git-receive-pack"},
	},
	{
		client: "git", does: "clones from a host that is not allowed", gets: "403; with `GIT_CURL_VERBOSE=1` the reason",
		script: `GIT_CURL_VERBOSE=1 git clone https://other.example/project.git`, fails: true,
		prints: []string{refusal},
	},
}

func gitClone(url string) string { return "git clone -q " + url + " .\ncat README\n" }

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
		client: "npm", does: "installs by a lock file that names registry.npmjs.org", gets: "the package, by the route",
		script:   npmLock("locked", "https://registry.npmjs.org/locked/-/locked-1.0.0.tgz"),
		prints:   []string{`"locked"`},
		upstream: []string{"GET https://npm.example/registry/locked/-/locked-1.0.0.tgz auth=token"},
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

var pythonRows = []row{
	{
		client: "Python", does: "asks a route, and opens an HTTPS page, by `urllib`", gets: "both",
		script: `python3 - <<'EOF'
import os, urllib.request as u
for url in os.environ["ANTHROPIC_BASE_URL"] + "v1/models?urllib", "https://docs.example/":
    print(u.urlopen(url).read().decode())
EOF`,
		prints:   []string{"model-1", "the documentation"},
		upstream: []string{"/v1/models?urllib auth=token"},
	},
	{
		client: "Python", does: "opens a page of a host that is not allowed, by `urllib`", gets: "an error that says why",
		script: `python3 -c 'import urllib.request as u; u.urlopen("https://other.example/")'`, fails: true,
		prints: []string{refusal},
	},
	{
		client: "Requests", does: "sends JSON to a route, and opens an HTTPS page", gets: "both",
		script: `python3 - <<'EOF'
import os, requests
print(requests.post(os.environ["ANTHROPIC_BASE_URL"] + "v1/messages?requests", json={"messages": []}).json())
print(requests.get("https://docs.example/").text)
EOF`,
		prints:   []string{"'bytes': 16", "the documentation"},
		upstream: []string{"/v1/messages?requests auth=token"},
	},
	{
		client: "pip", does: "installs from an allowed index whose files are at another allowed host", gets: "the package",
		script: `python3 -m pip install -q --target . --index-url https://pypi.example/simple/ greeting
python3 -c 'import greeting; print(greeting.GREETING)'`,
		prints:   []string{"installed"},
		upstream: []string{"GET https://pypi.example/simple/greeting/ auth=none", "GET https://files.example/pypi/greeting-1.0-py3-none-any.whl auth=none"},
	},
}

var javaRows = []row{
	{
		client: "Java", does: "sends JSON to a route, and opens HTTP and HTTPS pages, by `HttpClient` with the proxy's properties (it offers h2c)", gets: "all",
		script: `java -XX:TieredStopAtLevel=1 -Dhttp.proxyHost=pipelock -Dhttp.proxyPort=8888 -Dhttps.proxyHost=pipelock -Dhttps.proxyPort=8888 \
	/programs/Client.java "${ANTHROPIC_BASE_URL}v1/messages?java" http://docs.example/ https://docs.example/`,
		prints:   []string{`200 {"bytes":15`, "200 the documentation\n\n200 the documentation\n"},
		upstream: []string{"POST https://api.model.example/v1/messages?java auth=token"},
	},
}

var goRows = []row{
	{
		client: "Go", does: "asks a route, and opens an HTTPS page, by `net/http`", gets: "both",
		script: `/bottled-demo fetch "${ANTHROPIC_BASE_URL}v1/models?go"
/bottled-demo fetch https://docs.example/`,
		prints:   []string{"model-1", "the documentation"},
		upstream: []string{"/v1/models?go auth=token"},
	},
	{
		client: "Go", does: "downloads a module from an allowed proxy (`GOPROXY`)", gets: "the module",
		script: `export GOPROXY=https://goproxy.example GONOSUMDB='*' GOPATH=$PWD
go mod download -x example.org/greeting@v1.0.0
cat pkg/mod/example.org/greeting@v1.0.0/doc.go`,
		prints:   []string{"package greeting"},
		upstream: []string{"GET https://goproxy.example/example.org/greeting/@v/v1.0.0.zip auth=none"},
	},
	{
		client: "Go", does: "opens a page of a host that is not allowed, by `net/http`", gets: "an error that says why",
		script: `/bottled-demo fetch https://other.example/`, fails: true,
		prints: []string{refusal},
	},
}
