package credproxy

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestRefuses(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL), model.Route{Path: "/none/", Upstream: u.URL, TokenSlot: "none"},
		model.Route{Path: "/empty/", Upstream: u.URL, TokenSlot: "empty"})
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	tests := map[string]struct {
		request string
		status  int
		want    string
	}{
		"no route":                       {get("/b/"), 404, "no route"},
		"root":                           {get("/"), 404, "no route"},
		"route without its slash":        {get("/a"), 404, "no route"},
		"route in other case":            {get("/A/"), 404, "no route"},
		"encoded route":                  {get("/%61/"), 404, "no route"},
		"route with an encoded slash":    {get("/a%2f"), 404, "no route"},
		"absolute form":                  {get("http://evil.example/a/"), 400, "whole URLs"},
		"absolute form of ourselves":     {get("http://cred-proxy:9099/a/"), 400, "whole URLs"},
		"CONNECT":                        {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 405, "CONNECT"},
		"CONNECT to a route":             {"CONNECT /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
		"OPTIONS *":                      {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "whole URLs"},
		"TRACE":                          {"TRACE /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
		"TRACK":                          {"track /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
		"TRACE in lower case":            {"trace /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
		"TRACE in mixed case":            {"Trace /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
		"TRACE with a dash":              {"TRA-CE /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
		"CONNECT in lower case":          {"connect /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
		"CONNECT in mixed case":          {"conNect /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
		"GET in lower case":              {"get /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "upper-case"},
		"DELETE in mixed case":           {"Delete /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400, "upper-case"},
		"method with a digit":            {"GET2 /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "upper-case"},
		"session in the path":            {get("/a/x;jsessionid=1"), 400, "credential: jsessionid"},
		"token in the path":              {get("/a/x;a=1;Access%2dToken=1/y"), 400, "credential: Access%2dToken"},
		"upgrade":                        {"GET /a/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400, "upgrades"},
		"upgrade to h2c":                 {"GET /a/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n", 400, "upgrades"},
		"upgrade without Connection":     {"GET /a/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 400, "upgrades"},
		"dots":                           {get("/a/../b"), 400, ". or .."},
		"dot":                            {get("/a/./b"), 400, ". or .."},
		"encoded dots":                   {get("/a/%2e%2e/b"), 400, ". or .."},
		"half-encoded dots":              {get("/a/.%2E/b"), 400, ". or .."},
		"dots behind an encoded slash":   {get("/a/x%2f..%2fb"), 400, ". or .."},
		"twice encoded dots":             {get("/a/%252e%252e/b"), 400, ". or .."},
		"thrice encoded dots":            {get("/a/%25252e%25252e/b"), 400, ". or .."},
		"encoded beyond reason":          {get("/a/%2525252e"), 400, "percent-encoded more than"},
		"dots with parameters":           {get("/a/..;x=1/b"), 400, ". or .."},
		"dots with a space":              {get("/a/..%20/b"), 400, ". or .."},
		"empty segment":                  {get("/a//b"), 400, "empty segment"},
		"empty first segment":            {get("//evil.example/a/"), 400, "empty segment"},
		"backslash":                      {get(`/a/..\b`), 400, "must be percent-encoded"},
		"encoded backslash":              {get("/a/..%5cb"), 400, "backslash"},
		"twice encoded backslash":        {get("/a/..%255cb"), 400, "backslash"},
		"NUL":                            {get("/a/%00"), 400, "control character"},
		"line break":                     {get("/a/%0d%0aX:%20y"), 400, "control character"},
		"malformed escape":               {get("/a/%zz"), 400, ""}, // by net/http
		"unescaped letter":               {get("/a/\xc3\xa9"), 400, "must be percent-encoded"},
		"fragment":                       {get("/a/#x"), 400, "must be percent-encoded"},
		"fragment in the query":          {get("/a/?x#y"), 400, "must be percent-encoded"},
		"malformed query":                {get("/a/?x=%zz"), 400, "malformed"},
		"push":                           {get("/a/r.git/git-receive-pack"), 403, "git push"},
		"push by POST":                   {"POST /a/r.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 403, "git push"},
		"push in other case":             {get("/a/r.git/Git-Receive-Pack"), 403, "git push"},
		"encoded push":                   {get("/a/r.git/git%2dreceive-pack"), 403, "git push"},
		"twice encoded push":             {get("/a/r.git/git%252dreceive-pack"), 403, "git push"},
		"push behind an encoded slash":   {get("/a/r.git%2fgit-receive-pack"), 403, "git push"},
		"push with a slash":              {get("/a/r.git/git-receive-pack/"), 403, "git push"},
		"push with parameters":           {get("/a/r.git/git-receive-pack;x"), 403, "git push"},
		"push with a dot":                {get("/a/r.git/git-receive-pack."), 403, "git push"},
		"push with a space":              {get("/a/r.git/git-receive-pack%20"), 403, "git push"},
		"push's refs":                    {get("/a/r.git/info/refs?service=git-receive-pack"), 403, "git push"},
		"push's refs, other case":        {get("/a/r.git/info/refs?SERVICE=GIT-receive-pack"), 403, "git push"},
		"push's refs, encoded":           {get("/a/r.git/info/refs?%73ervice=git%2Dreceive-pack"), 403, "git push"},
		"push's refs, second parameter":  {get("/a/r.git/info/refs?service=git-upload-pack&service=git-receive-pack"), 403, "git push"},
		"push's refs, semicolon":         {get("/a/r.git/info/refs?x=1;service=git-receive-pack"), 403, "git push"},
		"push's refs, encoded ampersand": {get("/a/r.git/info/refs?x=1%26service=git-receive-pack"), 403, "git push"},
		"token file missing":             {get("/none/x"), 503, "token file none cannot be read"},
		"token file empty":               {get("/empty/x"), 503, "token file empty is empty"},
		"large header":                   {"GET /a/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", 431, ""},
		"two lengths":                    {"POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resp := b.raw(test.request)
			if resp.StatusCode != test.status || !strings.Contains(resp.body, test.want) {
				t.Errorf("%.100q: %s %q; want %d with %q", test.request, resp.Status, resp.body, test.status, test.want)
			}
		})
	}
	if seen := u.requests(); len(seen) > 0 {
		t.Errorf("the upstream saw %s", seen[0].RequestURI)
	}
	if seen := b.pipelock.requests(); len(seen) > 0 {
		t.Errorf("pipelock saw %q", seen)
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
	resp := b.raw("GET /a/x?access_token=" + own + "&keep=1&API-KEY=" + own + "&%6bey=" + own + "&token[]=" + own + "&a=1;private_token=" + own +
		"&b=1%26api_key=" + own + "&jwt=" + own + "&monkey=1&flag HTTP/1.1\r\nHost: evil.example\r\nConnection: close, X-Hop, Authorization\r\n" + join(lines) + "\r\n")
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
	if _, err := b.loader.load(); err != nil {
		t.Fatal(err)
	}
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
	b := newBench(t, u.ca(), to("/a/", u.URL), to("/base/", u.URL+"/api/v1"))
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
		"out of the base":           {"/base/x", u.URL + "/admin", 302, "outside of this route"},
		"out of the base by dots":   {"/base/x", u.URL + "/api/v1/../admin", 302, "outside of this route"},
		"out by encoded dots":       {"/base/x", u.URL + "/api/v1/%2e%2e/admin", 302, "outside of this route"},
		"other host":                {"/a/x", other.URL + "/stolen?sig=" + marker, 302, "outside of this route"},
		"other host, no scheme":     {"/a/x", "//evil.example/x", 302, "redirected to evil.example"},
		"other scheme":              {"/a/x", "http://" + u.host() + "/y", 302, "outside of this route"},
		"credentials in it":         {"/a/x", "https://u:p@" + u.host() + "/y", 302, "outside of this route"},
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
			if strings.HasPrefix(test.want, "/") || test.want == "" {
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

func TestStreams(t *testing.T) {
	next := make(chan string)
	ended := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				ended <- struct{}{}
				return
			}
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/a/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // the header alone, before any event
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, event := range []string{"one", "two", "three"} {
		select {
		case next <- event:
		case <-time.After(patience):
			t.Fatal("the upstream does not take the event")
		}
		got, err := lines.ReadString('\n')
		if err != nil || got != "data: "+event+"\n" {
			t.Fatalf("read %q, %v; want %q while the stream is open", got, err, event)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the upstream's request goes on after the client left")
	}
	line := b.requestLines(1)[0]
	if line["status"] != float64(200) || line["bytes"] != float64(len("data: one\n\ndata: two\n\ndata: three\n\n")) {
		t.Errorf("audit line %v", line)
	}
}

// TestDownloadsStream: what looks like a file, with a known length, is not held back either.
func TestDownloadsStream(t *testing.T) {
	proceed := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-proceed
		_, _ = io.WriteString(w, "after")
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	watchdog := time.AfterFunc(patience, func() { close(proceed) })
	resp, err := http.Get(b.server.URL + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("read %q, %v", first, err)
	}
	if !watchdog.Stop() {
		t.Fatal("the first half came only with the second")
	}
	close(proceed)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "after" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestUploadsStream(t *testing.T) {
	got := make(chan string)
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			got <- lines.Text()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/a/", body)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	for _, line := range []string{"one", "two"} {
		if _, err := io.WriteString(feed, line+"\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case l := <-got:
			if l != line {
				t.Errorf("the upstream got %q; want %q", l, line)
			}
		case <-time.After(patience):
			t.Fatal("the upload waits for its end")
		}
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestIdleExchangeEnds(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ended := make(chan struct{}, 2)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-r.Context().Done():
			ended <- struct{}{}
		case <-release:
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 200 * time.Millisecond
	if resp := b.get("/a/header"); resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(resp.body, "nothing was sent or received for 200ms") {
		t.Errorf("no header: %s %q; want 504", resp.Status, resp.body)
	}
	resp, err := http.Get(b.server.URL + "/a/body")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("no end of the body: read %q without an error; want a cut connection", body)
	}
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the upstream's request goes on")
		}
	}
	if lines := b.requestLines(2); lines[0]["aborted"] != nil || lines[1]["aborted"] != true {
		t.Errorf("audit lines %v; want the second one aborted", lines)
	}
}

func TestSlowButBusyExchangeLives(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			time.Sleep(50 * time.Millisecond)
			_, _ = io.WriteString(w, ".")
			_ = http.NewResponseController(w).Flush()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 300 * time.Millisecond // less than the whole takes
	if resp := b.get("/a/"); resp.body != ".........." {
		t.Errorf("%s %q; want ten dots", resp.Status, resp.body)
	}
}

func TestStalledClientIsCut(t *testing.T) {
	ended := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				break
			}
		}
		ended <- struct{}{}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 200 * time.Millisecond
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n") // and never read
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a client that does not read holds the upstream for ever")
	}
	b.requestLines(1)
}

func TestConcurrency(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.URL.Path, body, strings.TrimSuffix(r.Header.Get("Authorization"), marker))
	})
	route := to("/b/", u.URL)
	route.AuthScheme = "token"
	b := newBench(t, u.ca(), to("/a/", u.URL), route)
	stop := make(chan struct{})
	var reloads sync.WaitGroup
	reloads.Go(func() { // all along
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := b.loader.load(); err != nil {
					t.Errorf("load: %v", err)
				}
			}
		}
	})
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 10 {
				path, want := "/a/", "Bearer "
				if (i+j)%2 == 0 {
					path, want = "/b/", "token "
				}
				text := fmt.Sprintf("%d-%d", i, j)
				resp, err := http.Post(b.server.URL+path+text, "text/plain", strings.NewReader(text))
				if err != nil {
					t.Errorf("%s: %v", text, err)
					return
				}
				if got, want := b.whole(resp).body, fmt.Sprintf("/%s %s %s", text, text, want); got != want {
					t.Errorf("%q; want %q", got, want)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	reloads.Wait()
}

func TestAuditLine(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.get("/a/x%20y?password=hunter2&q=private")
	b.requestLines(1)
	b.get("/nowhere/" + strings.Repeat("x", 3000) + "?token=hunter2")
	b.get(healthPath)
	lines := b.requestLines(2)
	if len(lines) != 2 {
		t.Errorf("%d lines; want 2 (none for the health check)", len(lines))
	}
	first := lines[0]
	for field, want := range map[string]any{
		"route": "/a/", "method": "GET", "path": "/a/x%20y", "status": float64(200), "bytes": float64(5), "event": "request", "level": "info",
	} {
		if first[field] != want {
			t.Errorf("%s is %v; want %v", field, first[field], want)
		}
	}
	if _, ok := first["duration_ms"].(float64); !ok {
		t.Errorf("no duration: %v", first)
	}
	if path, _ := lines[1]["path"].(string); len(path) > maxAuditPath+10 {
		t.Errorf("a path of %d bytes was logged", len(path))
	}
	if text := b.log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "private") {
		t.Errorf("the log has a query:\n%s", text)
	}
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

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"/a/b?c=d", "/a/%2e%2e/", "/a/@s%2fx", "/a/r.git/git%2dreceive-pack", "/?token=x&a;service=git-receive-pack", "/%25%32%65"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		var got target
		path, query, d := parseTarget(uri)
		if d == nil {
			query, d = cleanQuery(query, "")
			got = target{path: path, query: query}
		}
		if d != nil {
			if d.status < 400 || d.reason == "" {
				t.Errorf("%q: denied as %+v", uri, d)
			}
			return
		}
		decoded, err := url.PathUnescape(got.path)
		if err != nil {
			t.Fatalf("%q: accepted with a malformed path: %v", uri, err)
		}
		if sent := (&url.URL{Path: decoded, RawPath: got.path}).EscapedPath(); sent != got.path {
			t.Errorf("%q: accepted as %q, but %q would be sent", uri, got.path, sent)
		}
		for range maxDecodings {
			for segment := range strings.SplitSeq(strings.ToLower(decoded), "/") {
				if segment == ".." || segment == "." || segment == receivePack {
					t.Errorf("%q: accepted with the segment %q", uri, segment)
				}
			}
			if decoded, err = url.PathUnescape(decoded); err != nil {
				break
			}
		}
		if values, err := url.ParseQuery(got.query); err == nil && (values.Has("token") || values.Has("service") && strings.EqualFold(values.Get("service"), receivePack)) {
			t.Errorf("%q: accepted with the query %q", uri, got.query)
		}
	})
}
