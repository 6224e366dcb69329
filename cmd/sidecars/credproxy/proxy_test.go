package credproxy

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	model "github.com/bot-bottle/bottled/manifests/route"
)

func TestForwards(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL), to("/a/deep/", u.URL+"/base/x%2Fy/"))
	tests := map[string]struct{ target, want string }{
		"root of the route":         {"/a/", "/"},
		"path":                      {"/a/v1/messages", "/v1/messages"},
		"query in its order":        {"/a/x?b=2&a=1&b=%20", "/x?b=2&a=1&b=%20"},
		"empty query":               {"/a/x?", "/x"},
		"longest prefix":            {"/a/deep/z", "/base/x%2Fy/z"},
		"encoded slash, for npm":    {"/a/@scope%2fname", "/@scope%2fname"},
		"escapes are kept as given": {"/a/%7e%41~A%20b", "/%7e%41~A%20b"},
		"dots within a name":        {"/a/...x..y", "/...x..y"},
		"percent sign in a name":    {"/a/100%25", "/100%25"},
		"all the punctuation":       {"/a/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"},
		"a name like a push":        {"/a/git-receive-pack.md", "/git-receive-pack.md"},
		"slashes behind the route":  {"/a//v1/messages", "/v1/messages"},
		"many of them":              {"/a////", "/"},
		"behind a longer route":     {"/a//deep//z", "/base/x%2Fy/z"},
		"an encoded slash there":    {"/a/%2fx", "/%2fx"},
		"fetch":                     {"/a/r.git/info/refs?service=git-upload-pack", "/r.git/info/refs?service=git-upload-pack"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(u.requests())
			if resp := b.get(test.target); resp.StatusCode != http.StatusOK || resp.body != "hello" {
				t.Fatalf("%s: %s %s", test.target, resp.Status, resp.body)
			}
			seen := u.requests()[before:]
			if len(seen) != 1 || seen[0].RequestURI != test.want {
				t.Fatalf("the upstream saw %v; want %s", seen[0].RequestURI, test.want)
			}
			if got := seen[0].Header.Get("Authorization"); got != "Bearer "+marker {
				t.Errorf("Authorization is %q", got)
			}
			if seen[0].Host != u.host() {
				t.Errorf("Host is %q; want the upstream's", seen[0].Host)
			}
			if seen[0].ProtoMajor != 2 {
				t.Errorf("the upstream was asked over %s; want HTTP/2", seen[0].Proto)
			}
		})
	}
	if got := b.pipelock.requests(); len(got) != 2 || got[0] != "CONNECT "+u.host() || got[1] != got[0] {
		t.Errorf("pipelock saw %q; want one CONNECT for each route (a loopback address is no exception)", got)
	}
}

// Java's client offers HTTP/2 with each first request (JDK-8042950); the offer need not be taken, and must not reach the upstream.
func TestIgnoresOffersOfOtherProtocols(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	resp := b.raw("GET /a/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n")
	if resp.StatusCode != http.StatusOK || resp.body != "hello" || resp.ProtoMajor != 1 {
		t.Fatalf("%s %s %q", resp.Proto, resp.Status, resp.body)
	}
	for _, name := range []string{"Upgrade", "Http2-Settings", "Connection"} {
		if got := u.requests()[0].Header.Values(name); got != nil {
			t.Errorf("the upstream was sent %s: %q", name, got)
		}
	}
}

func TestForwardsBodyAndStatus(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", r.Method)
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	for name, request := range map[string]string{
		"length":  "POST /a/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "POST /a/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			resp := b.raw(request)
			if resp.StatusCode != http.StatusTeapot || resp.body != "hello" || resp.Header.Get("X-Method") != "POST" {
				t.Errorf("%s %v %q", resp.Status, resp.Header, resp.body)
			}
		})
	}
}

func TestInsecureUpstreamGoesThroughPipelockToo(t *testing.T) {
	var authorization string
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "plain")
	}))
	defer plain.Close()
	b := newBench(t, nil, to("/p/", plain.URL+"/base"))
	if resp := b.get("/p/x?y=1"); resp.body != "plain" || authorization != "Bearer "+marker {
		t.Errorf("%s %q, Authorization %q", resp.Status, resp.body, authorization)
	}
	if got, want := b.pipelock.requests(), []string{"GET " + plain.URL + "/base/x?y=1"}; !cmp.Equal(got, want) {
		t.Errorf("pipelock saw %q; want %q", got, want)
	}
}

func TestClientCredentialsAreStripped(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	const own = "the-clients-own"
	stripped := []string{
		"Authorization", "authorization", "Proxy-Authorization", "X-Api-Key", "x-api-key", "Api-Key", "apikey", "Cookie", "Cookie2",
		"X-Auth-Token", "X-Auth-Key", "PRIVATE-TOKEN", "X-GitLab-Token", "Job-Token", "Deploy-Token", "X-Access-Token", "X-Goog-Api-Key",
		"X-Amz-Security-Token", "X-Vault-Token", "Ocp-Apim-Subscription-Key", "X-Functions-Key", "X_Api_Key", "X-Client-Secret",
		"X-Password", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL",
		"Te", "X-Hop", "Keep-Alive", "Proxy-Connection",
	}
	kept := []string{"Accept", "User-Agent", "Anthropic-Version", "Idempotency-Key", "X-Author", "If-None-Match", "Mcp-Session-Id", "Git-Protocol"}
	var lines []string
	for _, name := range append(stripped, kept...) {
		lines = append(lines, name+": "+own)
	}
	// Connection can name any header; it must not take the injected one away.
	resp := b.raw("GET /a/x?keep=1&monkey=1&flag HTTP/1.1\r\nHost: evil.example\r\nConnection: close, X-Hop, Authorization\r\n" + join(lines) + "\r\n")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, resp.body)
	}
	r := u.requests()[0]
	if want := "keep=1&monkey=1&flag"; r.URL.RawQuery != want {
		t.Errorf("query is %q; want %q", r.URL.RawQuery, want)
	}
	want := http.Header{"Authorization": {"Bearer " + marker}, "Accept-Encoding": {"identity"}}
	for _, name := range kept {
		want.Set(name, own)
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Errorf("upstream's header (-want +got):\n%s", diff)
	}
}

func TestAuthSchemes(t *testing.T) {
	u := newUpstream(t, nil)
	route := func(path, scheme, slot string) model.Route {
		return model.Route{Path: path, Upstream: u.URL, AuthScheme: scheme, TokenSlot: slot}
	}
	b := newBench(t, u.ca(), route("/token/", "token", "t"), route("/plain/", "Basic", "t"), route("/pair/", "basic", "pair"),
		route("/default/", "", "t"))
	b.write(b.dirs.token, "pair", "user:"+marker)
	b.reload()
	for path, want := range map[string]string{
		"/token/":   "token " + marker,
		"/plain/":   "Basic " + marker,
		"/pair/":    "basic " + base64.StdEncoding.EncodeToString([]byte("user:"+marker)),
		"/default/": "Bearer " + marker,
	} {
		before := len(u.requests())
		b.get(path)
		if got := u.requests()[before].Header.Get("Authorization"); got != want {
			t.Errorf("%s: Authorization %q; want %q", path, got, want)
		}
	}
}

func TestResponseHeaders(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</early>; rel=preload")
		h.Set("Set-Cookie", "early=1")
		w.WriteHeader(http.StatusEarlyHints)
		h.Set("Set-Cookie", "session=1")
		h.Set("Alt-Svc", `h3=":443"`)
		h.Set("Refresh", "0; url=https://evil.example")
		h.Set("X-Echo", r.Header.Get("Authorization"))
		h.Set("X-Fine", "yes")
		h.Set("Trailer", "X-Trailer")
		_, _ = io.WriteString(w, "body")
		h.Set("X-Trailer", r.Header.Get("Authorization"))
		h.Set(http.TrailerPrefix+"X-Late", r.Header.Get("Authorization"))
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	resp := b.get("/a/") // also looks for the token in header and trailer
	if resp.StatusCode != http.StatusOK || resp.body != "body" {
		t.Fatalf("%s %s; want the final response first", resp.Status, resp.body)
	}
	for _, name := range []string{"Set-Cookie", "Alt-Svc", "Refresh", "X-Echo"} {
		if value := resp.Header.Get(name); value != "" {
			t.Errorf("%s: %s came through", name, value)
		}
	}
	for name, values := range resp.Trailer {
		if len(values) > 0 { // its announcement may
			t.Errorf("the trailer %s: %q came through", name, values)
		}
	}
	if resp.Header.Get("X-Fine") != "yes" {
		t.Error("X-Fine is lost")
	}
}

func TestRedirects(t *testing.T) {
	other := newUpstream(t, nil)
	var location string
	status := http.StatusFound
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	})
	plain := httptest.NewServer(u.Config.Handler)
	defer plain.Close()
	b := newBench(t, u.ca(), to("/a/", u.URL), to("/base/", u.URL+"/api/v1"), to("/plain/", plain.URL))
	b.write(b.dirs.config, allowlistFile, "files.test\n*.storage.test\n*.storage.test:8443\n"+u.host()+"\nbottle.test\n")
	b.reload()
	tests := map[string]struct {
		path, location string
		status         int
		want           string // Location, or a part of the body
	}{
		"same route, absolute":      {"/a/x", u.URL + "/y?z=1#f", 302, "/a/y?z=1#f"},
		"same route, path":          {"/a/x", "/y", 307, "/a/y"},
		"same route, relative":      {"/a/x/y", "../z", 301, "/a/z"},
		"same route, no path":       {"/a/x", u.URL, 302, "/a/"},
		"same route, encoded":       {"/a/x", "/y%2Fz%20", 302, "/a/y%2Fz%20"},
		"below the base":            {"/base/x", u.URL + "/api/v1/y", 308, "/base/y"},
		"credentials in it":         {"/a/x", "https://u:p@" + u.host() + "/y", 302, "/a/y"},
		"out of the base":           {"/base/x", u.URL + "/admin", 302, u.URL + "/admin"},
		"out of the base by dots":   {"/base/x", u.URL + "/api/v1/../admin", 302, u.URL + "/api/admin"},
		"out by encoded dots":       {"/base/x", u.URL + "/api/v1/%2e%2e/admin", 302, u.URL + "/api/v1/%2e%2e/admin"},
		"allowed host":              {"/a/x", "https://files.test/blob?sig=abc&X-Amz-Signature=def#f", 302, "https://files.test/blob?sig=abc&X-Amz-Signature=def#f"},
		"allowed host, other case":  {"/a/x", "HTTPS://Files.TEST/blob", 307, "https://Files.TEST/blob"},
		"allowed host, no scheme":   {"/a/x", "//files.test/blob", 302, "https://files.test/blob"},
		"allowed host, user":        {"/a/x", "https://u:p4ss@files.test/blob", 302, "https://files.test/blob"},
		"allowed wildcard":          {"/a/x", "https://eu.storage.test/blob", 302, "https://eu.storage.test/blob"},
		"allowed port":              {"/a/x", "https://eu.storage.test:8443/blob", 302, "https://eu.storage.test:8443/blob"},
		"created at an allowed one": {"/a/x", "https://files.test/1", 201, "https://files.test/1"},
		"plain to plain":            {"/plain/x", "http://files.test:8080/y", 302, "http://files.test:8080/y"},
		"plain to TLS":              {"/plain/x", "https://files.test/y", 302, "https://files.test/y"},
		"other port":                {"/a/x", "https://files.test:8443/blob", 302, "add files.test:8443 to spec.egress.allowlist"},
		"other host":                {"/a/x", other.URL + "/stolen?sig=abc", 302, "add " + other.host() + " to spec.egress.allowlist"},
		"other host, no scheme":     {"/a/x", "//evil.example/x", 302, "redirected to evil.example, which is outside of this route"},
		"below no wildcard":         {"/a/x", "https://xstorage.test/", 302, "add xstorage.test to"},
		"to clear text":             {"/a/x", "http://files.test/y", 302, "redirected to http://files.test: what it sends there could be read"},
		"other scheme":              {"/a/x", "http://" + u.host() + "/y", 302, "could be read"},
		"another route":             {"/plain/x", "http://cred-proxy:9099/a/y", 302, "a part of this bottle"},
		"another component":         {"/plain/x", "http://Supervise.:9100/mcp", 302, "a part of this bottle"},
		"this machine":              {"/plain/x", "http://localhost/", 302, "add localhost to"},
		"an odd address":            {"/plain/x", "http://0177.1/", 302, "outside of this route"},
		"no host":                   {"/a/x", "https:///y", 302, "not one of HTTP with a host"},
		"script":                    {"/a/x", "javascript:alert(1)", 302, "not one of HTTP with a host"},
		"a file":                    {"/a/x", "file:///etc/passwd", 302, "not one of HTTP with a host"},
		"long host":                 {"/a/x", "https://" + strings.Repeat("a.", 300) + "test/", 302, "not one of HTTP with a host"},
		"the token for others":      {"/a/x", "https://files.test/y?t=" + marker, 302, "has the route's token in it"},
		"the encoded token":         {"/a/x", "https://files.test/y?t=" + escapeLetters(marker), 302, "has the route's token in it"},
		"the token as a name":       {"/a/x", "https://u:" + marker + "@files.test/y", 302, "has the route's token in it"},
		"malformed":                 {"/a/x", "http://[", 302, "malformed"},
		"created on the route":      {"/a/x", u.URL + "/items/1", 201, "/a/items/1"},
		"created elsewhere":         {"/a/x", "https://evil.example/1", 201, ""},
		"the token in its location": {"/a/x", "/y?t=" + marker, 302, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			location, status = test.location, test.status
			resp := b.get(test.path)
			got := resp.Header.Get("Location")
			if strings.Contains(test.want, "/") && !strings.Contains(test.want, " ") || test.want == "" {
				if resp.StatusCode != test.status || got != test.want {
					t.Errorf("%s, Location %q; want %d and %q", resp.Status, got, test.status, test.want)
				}
				return
			}
			if resp.StatusCode != http.StatusBadGateway || got != "" || !strings.Contains(resp.body, test.want) {
				t.Errorf("%s, Location %q, %q; want 502 with %q", resp.Status, got, resp.body, test.want)
			}
			if strings.Contains(resp.body, "sig=") {
				t.Errorf("the body shows the redirect's query: %s", resp.body)
			}
		})
	}
	if seen := other.requests(); len(seen) > 0 {
		t.Errorf("a redirect was followed to another host: %v", seen[0].URL)
	}
}

// Lists of many pages are followed by the Link header, without a token if it names the upstream itself.
func TestLinks(t *testing.T) {
	var u *upstream
	u = newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Link", "<"+u.URL+"/api/items?page=2>; rel=\"next\", <"+u.URL+"/api/items?page=9>; rel=\"last\"")
		w.Header().Add("Link", "<https://docs.example/>; rel=help, <"+u.URL+"/other>; rel=up")
	})
	b := newBench(t, u.ca(), to("/a/", u.URL+"/api"))
	got, want := b.get("/a/items").Header.Values("Link"), []string{
		`<http://cred-proxy:9099/a/items?page=2>; rel="next", <http://cred-proxy:9099/a/items?page=9>; rel="last"`,
		"<https://docs.example/>; rel=help, <" + u.URL + "/other>; rel=up",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUpstreamErrors(t *testing.T) {
	u := newUpstream(t, nil)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	free.Close()
	garbage := newRawUpstream(t, "this is not HTTP\r\n")
	switching := newRawUpstream(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	hangup := newRawUpstream(t, "")
	stale := newUpstream(t, nil)
	b := newBench(t, u.ca(),
		to("/refused/", u.URL), to("/stall/", "https://stalled.example"), to("/dial/", "https://"+closed),
		to("/tls/", strings.Replace(u.URL, "127.0.0.1", "localhost", 1)), to("/nottls/", "https://"+garbage),
		to("/switch/", "http://"+switching), to("/hangup/", "https://"+hangup), to("/stale/", stale.URL))
	b.pipelock.refuses(u.host(), "blocked: domain not in allowlist: "+u.host()+" "+marker+"\x1b[2J"+strings.Repeat("x", 4096))
	b.pipelock.refuses("stalled.example:443", "stall")
	stale.Close()
	tests := map[string]struct{ path, want string }{
		"pipelock refuses": {"/refused/", "pipelock refused the connection to " + u.host() + ": 403 Forbidden: blocked: domain not in allowlist"},
		"pipelock stalls":  {"/stall/", "pipelock refused the connection to stalled.example:443: 403 Forbidden"},
		"dial":             {"/dial/", "502 Bad Gateway: dial failed"},
		"wrong name":       {"/tls/", "certificate"},
		"not TLS":          {"/nottls/", "route /nottls/"},
		"switches":         {"/switch/", "switched protocols"},
		"hangs up":         {"/hangup/", "EOF"},
		"gone":             {"/stale/", "dial failed"},
	}
	sent := 0
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resp := b.get(test.path)
			if resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.body, test.want) {
				t.Errorf("%s %q; want 502 with %q", resp.Status, resp.body, test.want)
			}
			if len(resp.body) > 1024 || strings.Contains(resp.body, "\x1b") {
				t.Errorf("the body is not clean: %q", resp.body)
			}
			sent++
			line := b.requestLines(sent)[sent-1]
			if line["error"] == nil || line["status"] != float64(http.StatusBadGateway) {
				t.Errorf("audit line %v; want an error and 502", line)
			}
		})
	}
}

// newRawUpstream answers every connection with the same bytes.
func newRawUpstream(t *testing.T, answer string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestHealth(t *testing.T) {
	b := newBench(t, nil)
	if resp := b.get(healthPath); resp.StatusCode != http.StatusOK || resp.body != "ok\n" {
		t.Errorf("%s %q", resp.Status, resp.body)
	}
	if resp := b.raw("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %s", resp.Status)
	}
}
