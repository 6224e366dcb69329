package clients

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
		client: "curl", does: "sends a query parameter named like a credential to a route", gets: "400 that names it",
		script: `curl -sS -w '%{http_code}\n' "${ANTHROPIC_BASE_URL}v1/models?token=mine"`,
		prints: []string{"token", "400\n"},
		never:  []string{"/v1/models?token"},
	},
	{
		client: "curl", does: "sends such a parameter that the route allows (`allowQuery`)", gets: "the answer",
		script:   `curl -fsS "${ANTHROPIC_BASE_URL}v1/models?key=project-1"`,
		prints:   []string{"model-1"},
		upstream: []string{"GET https://api.model.example/v1/models?key=project-1 auth=token"},
	},
	{
		client: "curl", does: "sends `anthropic-beta` as Claude Code does to a route with `headers: {anthropic-beta: …}`", gets: "both values arrive",
		script:   `curl -fsS -H 'anthropic-beta: claude-code-20250219' "${ANTHROPIC_BASE_URL}v1/models?beta=true"`,
		prints:   []string{"model-1"},
		upstream: []string{`/v1/models?beta=true auth=token anthropic-beta="oauth-2025-04-20, claude-code-20250219"`},
	},
	{
		// buildURL in src/client.ts of openai/openai-node: the base URL, and a path that begins with a slash.
		client: "curl", does: "asks OpenAI's and Google's APIs at the base URLs of the roles `openai-base-url` and `gemini-base-url` as their SDKs do", gets: "the answers; the token is added",
		script: `curl -fsS -H "Authorization: Bearer $OPENAI_API_KEY" --json '{"input":""}' "$OPENAI_BASE_URL/responses?openai"
curl -fsS -H "x-goog-api-key: $GEMINI_API_KEY" --json '{"contents":[]}' "$GOOGLE_GEMINI_BASE_URL/v1beta/models/model-1:generateContent"`,
		prints: []string{`"bytes":12`, `"bytes":15`},
		upstream: []string{
			"POST https://api.model.example/v1/responses?openai auth=token", "POST https://api.model.example/v1beta/models/model-1:generateContent auth=token",
		},
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
curl -fsS -T file -H 'Expect: 100-continue' "${npm_config_registry}-/files/large" | grep "$(sha256sum < file | cut -c1-64)"`,
		prints:   []string{`"bytes":20000000`},
		upstream: []string{"PUT https://npm.example/registry/-/files/large auth=token"},
	},
	{
		client: "curl", does: "uploads 40 MB to a route", gets: "413 that names the limit",
		script: `head -c 40000000 /dev/urandom > file
curl -sS -w '%{http_code}\n' -T file "${npm_config_registry}-/files/larger"`,
		prints: []string{"33554432", "413\n"},
		never:  []string{"received /registry/-/files/larger"},
	},
	{
		client: "curl", does: "uploads 40 MB to a route with `maxRequestBody: 64Mi`", gets: "it arrives",
		script: `head -c 40000000 /dev/urandom > file
curl -fsS -T file "${ANTHROPIC_BASE_URL}v1/files/larger" | grep "$(sha256sum < file | cut -c1-64)"`,
		prints:   []string{`"bytes":40000000`},
		upstream: []string{"PUT https://api.model.example/v1/files/larger auth=token"},
	},
	{
		// Codex sends zstd, made by libzstd as here: BYK/loreai#1049.
		client: "zstd", does: "compresses a body as Codex does (`Content-Encoding: zstd`); so do gzip, Brotli, and two of them", gets: "it arrives as it was sent",
		script: compressed + `send zstd zstd '{"messages":[]}'
send gzip gzip '{"messages":[]}'
send br brotli '{"messages":[]}'
send 'gzip, zstd' gzip_zstd '{"messages":[]}'
cat answers`,
		prints: []string{"200 intact 200 intact 200 intact 200 intact "},
		upstream: []string{
			`/v1/responses?zstd auth=token content-encoding="zstd"`, `/v1/responses?gzip auth=token content-encoding="gzip"`,
			`/v1/responses?brotli auth=token content-encoding="br"`, `/v1/responses?gzip_zstd auth=token content-encoding="gzip, zstd"`,
		},
	},
	{
		client: "zstd", does: "compresses a secret; so do gzip, Brotli, and two of them", gets: "403 that names the rule",
		script: compressed + secret + `send zstd zstd "$secret" secret
send gzip gzip "$secret" secret
send br brotli "$secret" secret
send 'gzip, zstd' gzip_zstd "$secret" secret
cat answers`,
		prints: []string{"403 403 403 403 ", "aws-access-token"},
		never:  []string{"received /v1/responses?secret"},
	},
	{
		client: "curl", does: "sends a body in another `Content-Encoding`", gets: "415 that names those that work",
		script: compressed + `send compress cat x
cat answers`,
		prints: []string{"415 ", "zstd"},
		never:  []string{"received /v1/responses?cat"},
	},
	{
		client: "curl", does: "sends a secret", gets: "403 that names the rule",
		script: secret + `curl -sS --data-binary "$secret" "$url"`,
		prints: []string{"aws-access-token"},
		never:  []string{"received /v1/messages?secret"},
	},
	{
		client: "curl", does: "sends the sample token of jwt.io to a route with an exception for its rule (`dlpExceptions`), and to another one", gets: "it arrives; 403 that names the rule",
		script: sample + `curl -fsS --data-binary "$jwt" "${ANTHROPIC_BASE_URL}v1/messages?sample"
curl -sS -w '%{http_code}\n' --data-binary "$jwt" "${npm_config_registry}-/files/sample"`,
		prints:   []string{`"bytes":155`, "secret: jwt\n403\n"},
		upstream: []string{"received /v1/messages?sample"},
		never:    []string{"received /registry/-/files/sample"},
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
		// axios with an HTTPS proxy from the environment: axios/axios#4531, axios/axios#6330.
		client: "curl", does: "asks the proxy for an HTTPS page in absolute form, as axios does", gets: "400 that says what to use",
		script: `curl -sS -w '%{http_code}\n' --noproxy '*' --request-target https://docs.example/?absolute http://pipelock:8888/`,
		prints: []string{"CONNECT for https\n400\n"},
		never:  []string{"docs.example/?absolute"},
	},
	{
		client: "curl", does: "asks a route directly, in HTTP/2 without TLS", gets: "the answer, on HTTP/2",
		script: `curl -fsS --noproxy '*' --http2-prior-knowledge -w '%{http_version}\n' "${ANTHROPIC_BASE_URL}v1/models?h2c"`,
		prints: []string{"model-1", "\n2\n"},
	},
	{
		client: "curl", does: "downloads a release's asset, which a route redirects to an allowed host", gets: "the asset; the other host gets no token",
		script:   `curl -fsSL "${ANTHROPIC_BASE_URL}v1/assets/files.example/tool"`,
		prints:   []string{"the asset\n"},
		upstream: []string{"GET https://files.example/assets/tool?X-Amz-Signature=s3 auth=none"},
	},
	{
		client: "curl", does: "follows a route's redirect to a host that is not allowed", gets: "502 that names the host, and what to do",
		script: `curl -sSL -w '%{http_code}\n' "${ANTHROPIC_BASE_URL}v1/assets/other.example/tool"`,
		prints: []string{"add other.example to spec.egress.allowlist", "502\n"},
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

// sample is the token that jwt.io shows, which belongs to nobody. The script puts it together, so that no scanner finds one here.
const sample = `jwt=$(printf '{"alg":"HS256","typ":"JWT"}' | base64 -w0 | tr -d =).eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c
`

// compressed sends bodies: CODING PROGRAM BODY [NAME].
const compressed = `brotli() { node -e 'process.stdout.write(require("zlib").brotliCompressSync(require("fs").readFileSync(0)))'; }
gzip_zstd() { gzip | zstd; }
send() {
	printf %s "$3" | "$2" > body
	curl -sS -o answer -w '%{http_code} ' -H "Content-Encoding: $1" --data-binary @body "${ANTHROPIC_BASE_URL}v1/responses?${4:-$2}"
	if grep -q "$(sha256sum < body | cut -c1-64)" answer; then printf 'intact '; fi
	cat answer >> answers
}
`

// secret makes one that no file of this repository has.
const secret = `secret=AKIA$(printf 'QYLPMN5HHHFPZAM2')
url=${ANTHROPIC_BASE_URL}v1/messages?secret
`
