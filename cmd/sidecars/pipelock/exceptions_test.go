package pipelock

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/audit"
)

// sampleJWT is the token that jwt.io shows, which stands in many conversations. It is put together here, so that no scanner finds it.
func sampleJWT() string {
	return "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ." + "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
}

// withExceptions is withDLP with exceptions, as lines of suppress.
func withExceptions(allow []string, suppress ...string) string {
	return settings(allow, "request_body_scanning: {enabled: true, action: block, max_body_bytes: 1048576}\nsuppress: ["+strings.Join(suppress, ", ")+"]\n")
}

const foundJWT = " contains secret: jwt"

// TestException: with an exception, one rule's matches pass in the requests to one place, and nothing else.
func TestException(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	p := startProxy(t, withExceptions([]string{"cred-proxy"}, "{rule: jwt, path: "+s.base+"/openai/}", "{rule: private-key, path: "+s.base+"/other/}"),
		map[string][]string{"cred-proxy": {inOwnNetwork}})
	p.names = &fakeResolver{}
	post := func(path, header, body string) string {
		return fmt.Sprintf("POST %s%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", s.base, path, header, len(body), body)
	}
	for name, c := range map[string]struct{ request, want string }{
		"in the body":                      {post("/openai/v1/responses", "", `{"input": "`+sampleJWT()+`"}`), ""},
		"in a header":                      {post("/openai/v1/responses", "X: "+sampleJWT()+"\r\n", ""), ""},
		"in the URL":                       {post("/openai/v1/?x="+sampleJWT(), "", ""), ""},
		"in base64":                        {post("/openai/v1/", "", b64("a "+sampleJWT())), ""},
		"two slashes":                      {post("/openai//v1/", "", sampleJWT()), ""},
		"another secret beside it":         {post("/openai/v1/responses", "", sampleJWT()+" "+token()), "body" + foundToken},
		"another secret in front of it":    {post("/openai/v1/responses", "", token()+" "+sampleJWT()), "body" + foundToken},
		"another secret in the URL":        {post("/openai/"+token(), "", sampleJWT()), "URL" + foundToken},
		"another route":                    {post("/other/v1/responses", "", sampleJWT()), "body" + foundJWT},
		"the route without its slash":      {post("/openai", "", sampleJWT()), "body" + foundJWT},
		"a route that begins like it":      {post("/openai-2/", "", sampleJWT()), "body" + foundJWT},
		"a way out":                        {post("/openai/../other/", "", sampleJWT()), "body" + foundJWT},
		"a way out, encoded":               {post("/openai/%2e%2E/other/", "", sampleJWT()), "body" + foundJWT},
		"a way out, encoded twice":         {post("/openai/%252e%252e/other/", "", sampleJWT()), "body" + foundJWT},
		"a way out with a slash":           {post("/openai/..%2fother/", "", sampleJWT()), "body" + foundJWT},
		"a way out with a backslash":       {post("/openai/..%5cother/", "", sampleJWT()), "body" + foundJWT},
		"a way out with a parameter":       {post("/openai/..;x/other/", "", sampleJWT()), "body" + foundJWT},
		"the route in another spelling":    {post("/open%61i/", "", sampleJWT()), "body" + foundJWT},
		"the route's path in a query":      {post("/x?/openai/", "", sampleJWT()), "body" + foundJWT},
		"the rule's match as a method":     {sampleJWT() + " " + s.base + "/x HTTP/1.1\r\nHost: x\r\n\r\n", "URL" + foundJWT},
		"in the header, for another route": {post("/other/", "X: "+sampleJWT()+"\r\n", ""), "header" + foundJWT},
	} {
		want := "200 ok"
		if c.want != "" {
			want = "403 blocked: request " + c.want
		}
		resp := p.ask(c.request)
		if got := fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body(t, resp))); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestExceptionForHost: an exception for a host is for its port, and for plain HTTP, in a tunnel or not.
func TestExceptionForHost(t *testing.T) {
	s, other := startSeen(t, "local.test"), startSeen(t, "local.test")
	authority := strings.TrimPrefix(s.base, "http://")
	p := startProxy(t, withExceptions([]string{"local.test", authority, "*.wild.test"}, "{rule: jwt, path: "+s.base+"/}", "{rule: jwt, path: http://"+strings.ToLower(sampleJWT()[:36])+".wild.test/}"),
		map[string][]string{"local.test": toLoopback})
	get := "GET %s/ HTTP/1.1\r\nHost: " + authority + "\r\nX: " + sampleJWT() + "\r\n\r\n"
	if resp := p.ask(fmt.Sprintf(get, s.base)); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	if resp := p.ask(fmt.Sprintf(get, other.base)); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another port: %s", resp.Status)
	}
	conn, br := inside(t, p, authority)
	if got := askInside(t, conn, br, fmt.Sprintf(get, "")); got != "200 ok" {
		t.Errorf("in a tunnel: %s", got)
	}
}

// TestExceptionRemoved: a reload without an exception ends the requests that began with it, and no others.
func TestExceptionRemoved(t *testing.T) {
	began := make(chan struct{}, 2)
	port := tcpServer(t, func(conn *net.TCPConn) {
		http.ReadRequest(bufio.NewReader(conn))
		began <- struct{}{}
		io.Copy(io.Discard, conn)
	})
	base := "http://local.test:" + port
	jwt, key := "{rule: jwt, path: "+base+"/a/}", "{rule: private-key, path: "+base+"/b/}"
	p := startProxy(t, withExceptions([]string{"local.test"}, jwt, key), map[string][]string{"local.test": toLoopback})
	conns := map[string]net.Conn{}
	for _, path := range []string{"/a/", "/b/", "/c/"} {
		conns[path] = p.raw()
		fmt.Fprintf(conns[path], "GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n", base, path)
		<-began
	}
	p.reload(withExceptions([]string{"local.test"}, key, "{rule: jwt, path: "+base+"/b/}"))
	resp, err := http.ReadResponse(bufio.NewReader(conns["/a/"]), nil)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("%v, %v", resp, err)
	}
	p.wantLog(map[string]any{"action": "deny", "code": audit.CodeRevoked, "reason": "revoked: an exception from a rule of request_body_scanning was removed"})
	p.exchanges.mu.Lock()
	defer p.exchanges.mu.Unlock()
	for x := range p.exchanges.open {
		if x.revoked.Err() != nil && x.refused.Load() != nil {
			t.Errorf("another exchange was revoked: %v", x.refused.Load())
		}
	}
}

// TestRefusalNamesException: the refusal and the log line say what a human needs to write an exception, and the log line has no path in which
// something was found.
func TestRefusalNamesException(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	answers := map[string][]string{"cred-proxy": {inOwnNetwork}}
	for request, c := range map[string]struct {
		hint string
		log  map[string]any
	}{
		"GET " + s.base + "/openai/v1/x?y HTTP/1.1\r\nHost: x\r\nX: " + sampleJWT() + "\r\n\r\n": {"add {rule: jwt, route: PATH OF THE ROUTE} to spec.egress.dlpExceptions", map[string]any{"rule": "jwt", "path": "/openai/v1/x", "host": "cred-proxy"}},
		"GET " + s.base + "/" + sampleJWT() + " HTTP/1.1\r\nHost: x\r\n\r\n":                     {"add {rule: jwt, route: PATH OF THE ROUTE}", map[string]any{"rule": "jwt", "path": nil, "host": nil}},
		"GET http://a.test:8080/x HTTP/1.1\r\nHost: x\r\nX: " + sampleJWT() + "\r\n\r\n":         {"add {rule: jwt, host: a.test:8080}", map[string]any{"rule": "jwt", "path": nil, "host": "a.test"}},
		"GET http://a.test/?x=" + sampleJWT() + " HTTP/1.1\r\nHost: x\r\n\r\n":                   {"add {rule: jwt, host: a.test}", map[string]any{"rule": "jwt", "path": nil}},
		"GET http://" + token() + ".wild.test/ HTTP/1.1\r\nHost: x\r\n\r\n":                      {"add {rule: github-pat, host: HOST}", map[string]any{"rule": "github-pat", "path": nil, "host": nil}},
		"CONNECT " + token() + ".wild.test:443 HTTP/1.1\r\nHost: x\r\n\r\n":                      {"set spec.egress.dlpAction: warn", map[string]any{"rule": "github-pat", "path": nil, "host": nil}},
	} {
		p := startProxy(t, withDLP("block", "cred-proxy", "a.test", "*.wild.test"), answers)
		p.names = &fakeResolver{}
		resp := p.ask(request)
		if hint := resp.Header.Get(hintHeader); !strings.Contains(hint, c.hint) {
			t.Errorf("%q: hint %q, want %q", request, hint, c.hint)
		}
		p.wantLog(c.log)
		if strings.Contains(p.log.String(), sampleJWT()) {
			t.Errorf("the log has it: %s", p.log)
		}
	}
}

// TestBadExceptions: entries that would not do what they say are refused.
func TestBadExceptions(t *testing.T) {
	for entry, want := range map[string]string{
		`{rule: jwt, path: "http://a.test/x/"}`:                   "",
		`{rule: jwt, path: "http://[fd00::1]:8080/"}`:             "",
		`{rule: JWT, path: "http://a.test/"}`:                     `there is no rule "JWT"`,
		`{rule: "", path: "http://a.test/"}`:                      `there is no rule ""`,
		`{rule: jwt, path: "http://a.test"}`:                      "has to end with a slash",
		`{rule: jwt, path: "http://a.test/x"}`:                    "has to end with a slash",
		`{rule: jwt, path: "http://a.test/x/?y/"}`:                "has to end with a slash",
		`{rule: jwt, path: "http://a.test/../"}`:                  "has to end with a slash",
		`{rule: jwt, path: "https://a.test/"}`:                    "scheme",
		`{rule: jwt, path: "*"}`:                                  "scheme",
		`{rule: jwt, path: "http://*.a.test/"}`:                   "is not a DNS name",
		`{rule: jwt, path: "http://a.test/", reason: "a sample"}`: "field reason not found",
	} {
		_, err := newPolicy([]byte(withExceptions([]string{"a.test"}, entry)), netip.Prefix{}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", entry, err, want)
		}
	}
}

// TestOverlappingExceptions: a longer path has the exceptions of a shorter one, too.
func TestOverlappingExceptions(t *testing.T) {
	policy, err := newPolicy([]byte(withExceptions([]string{"a.test"},
		`{rule: jwt, path: "http://a.test/"}`, `{rule: private-key, path: "http://a.test/x/"}`, `{rule: github-pat, path: "http://b.test/x/"}`)), netip.Prefix{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"http://a.test/": "[jwt]", "http://a.test/x": "[jwt]", "http://a.test/x/": "[private-key jwt]", "http://a.test/x/y?z": "[private-key jwt]",
		"http://A.test.:80/x/": "[private-key jwt]", "http://b.test/x/": "[github-pat]", "http://b.test/": "[]", "http://a.test:81/": "[]", "http://c.test/": "[]",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		if e := policy.secrets.exceptionFor(&http.Request{Method: http.MethodGet, URL: u}); e != nil {
			rules = e.rules
		}
		if fmt.Sprint(rules) != want {
			t.Errorf("%s: %v, want %s", text, rules, want)
		}
	}
}
