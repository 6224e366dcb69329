package pipelock

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/audit"
)

// inside is a connection to an upstream of plain HTTP through a tunnel, as undici opened it for all requests before April 2026
// (nodejs/undici#4083).
func inside(t *testing.T, p *testProxy, authority string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, br, resp := p.connect(authority)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT %s: %s", authority, resp.Status)
	}
	return conn, br
}

// askInside sends a request over an open tunnel and returns the answer.
func askInside(t *testing.T, conn net.Conn, br *bufio.Reader, request string) string {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body(t, resp)))
}

// TestInsideAsOutside: whatever a client asks for in a tunnel, the answer, the log line and what the upstream gets are those of the same
// request without a tunnel. How much of the beginning of a refused one the upstream gets is a matter of time.
func TestInsideAsOutside(t *testing.T) {
	chunked := "Transfer-Encoding: chunked\r\n\r\n" + chunks(`{"t":"`+token()+`"}`, 7) + "0\r\n\r\n"
	for name, c := range map[string]struct{ request, answer string }{
		"a path and a query":       {"GET %s/v1/models?a=b&c=%%2F HTTP/1.1\r\nHost: %s\r\n\r\n", "200 ok"},
		"another slash":            {"GET %s//v1/models HTTP/1.1\r\nHost: %s\r\n\r\n", "200 ok"},
		"a body":                   {"POST %s/x HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\nhello", "200 ok"},
		"a secret in the path":     {"GET %s/" + token() + " HTTP/1.1\r\nHost: %s\r\n\r\n", "403 blocked: request URL" + foundToken},
		"a secret in a header":     {"GET %s/ HTTP/1.1\r\nHost: %s\r\nX-T: " + token() + "\r\n\r\n", "403 blocked: request header" + foundToken},
		"a secret in a body":       {"POST %s/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 41\r\n\r\n" + token() + "\n", "403 blocked: request body" + foundToken},
		"a secret in chunks":       {"POST %s/ HTTP/1.1\r\nHost: %s\r\n" + chunked, "403 blocked: request body" + foundToken},
		"an unusual method":        {"VERSION-CONTROL %s/ HTTP/1.1\r\nHost: %s\r\n\r\n", "200 ok"},
		"a long URL":               {"GET %s/" + strings.Repeat("x", 3000) + " HTTP/1.1\r\nHost: %s\r\n\r\n", ""},
		"WebSocket":                {"GET %s/ HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "426 blocked: " + noWebSocket().reason},
		"an upgrade to HTTP/2":     {"GET %s/ HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "200 ok"},
		"hop-by-hop headers":       {"GET %s/ HTTP/1.1\r\nHost: %s\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n", "200 ok"},
		"a body that is too large": {"POST %s/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 2000000\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var answers, upstreams, logs []string
			for _, tunnelled := range []bool{false, true} {
				s := startSeenAt(t, inOwnNetwork, "cred-proxy")
				authority := strings.TrimPrefix(s.base, "http://")
				p := startProxy(t, withDLP("block", "cred-proxy"), map[string][]string{"cred-proxy": {inOwnNetwork}})
				p.names = &fakeResolver{}
				request := fmt.Sprintf(c.request, s.base, authority)
				if !tunnelled {
					conn := p.raw()
					answers = append(answers, askInside(t, conn, bufio.NewReader(conn), request))
				} else {
					conn, br := inside(t, p, authority)
					answers = append(answers, askInside(t, conn, br, strings.Replace(request, s.base, "", 1)))
				}
				line := p.logged(1)
				for _, key := range []string{"id", "client", "duration_ms", "port", "address", "number", "run", "sent"} { // sent: what the proxy had read when it refused
					delete(line, key)
				}
				logs = append(logs, fmt.Sprint(line))
				upstreams = append(upstreams, strings.ReplaceAll(s.bytes.String(), authority, "AUTHORITY"))
			}
			if answers[0] != answers[1] || c.answer != "" && answers[1] != c.answer {
				t.Errorf("answers: %q, %q, want %q", answers[0], answers[1], c.answer)
			}
			if passed := strings.HasPrefix(answers[0], "200"); passed && upstreams[0] != upstreams[1] || strings.Contains(upstreams[1], token()) {
				t.Errorf("the upstream got %q, %q", upstreams[0], upstreams[1])
			}
			if logs[0] != logs[1] {
				t.Errorf("the log has\n%s\n%s", logs[0], logs[1])
			}
		})
	}
}

// TestInsideKeepsAlive: a tunnel serves one request after the other, also when they come at once, and scans each.
func TestInsideKeepsAlive(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	authority := strings.TrimPrefix(s.base, "http://")
	p := startProxy(t, withDLP("block", "cred-proxy"), map[string][]string{"cred-proxy": {inOwnNetwork}})
	p.names = &fakeResolver{}
	get := "GET /%d HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
	leak := "GET /?t=" + token() + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
	conn := p.raw()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n"+get+get+"%s"+get, authority, 1, 2, leak, 3)
	br := bufio.NewReader(conn)
	var got []int
	for range 5 {
		resp, err := http.ReadResponse(br, &http.Request{Method: map[bool]string{true: http.MethodConnect}[len(got) == 0]})
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got = append(got, resp.StatusCode)
		if len(got) > 1 {
			body(t, resp)
		}
	}
	if fmt.Sprint(got) != "[200 200 200 403 200]" {
		t.Errorf("answers %v", got)
	}
	if text := s.bytes.String(); strings.Contains(text, token()) || !strings.Contains(text, "GET /3 ") {
		t.Errorf("the upstream has %q", text)
	}
	p.logged(4)
	if lines := strings.Count(p.log.String(), `"event":"egress"`); lines != 4 || strings.Contains(p.log.String(), `"CONNECT"`) {
		t.Errorf("%d lines for 4 requests", lines)
	}
}

// TestAttackInside: nothing but requests to the tunnel's own host and port passes, and none past the scan.
func TestAttackInside(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	other := startSeenAt(t, inOwnNetwork, "supervise")
	passed := ""
	authority, elsewhere := strings.TrimPrefix(s.base, "http://"), strings.TrimPrefix(other.base, "http://")
	answers := map[string][]string{"cred-proxy": {inOwnNetwork}, "supervise": {inOwnNetwork}, "evil.test": toLoopback}
	const needsPath = "400 blocked: a request in a tunnel needs a path, and neither a whole URL nor CONNECT"
	const wrongHost = "400 blocked: the Host header is not the host and port of CONNECT"
	for name, c := range map[string]struct{ request, answer string }{
		"a whole URL":                 {"GET http://" + authority + "/ HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", needsPath},
		"a whole URL, elsewhere":      {"GET http://" + elsewhere + "/ HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", needsPath},
		"another tunnel":              {"CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", "400 CONNECT " + needsPath[4:]},
		"another tunnel, with a path": {"CONNECT /x HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", "400 CONNECT " + needsPath[4:]},
		"an asterisk":                 {"PUT * HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", needsPath},
		"HTTP/2 at once":              {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", needsPath},
		"another host":                {"GET / HTTP/1.1\r\nHost: " + elsewhere + "\r\n\r\n", wrongHost},
		"another port":                {"GET / HTTP/1.1\r\nHost: cred-proxy:1\r\n\r\n", wrongHost},
		"the usual port":              {"GET / HTTP/1.1\r\nHost: cred-proxy\r\n\r\n", wrongHost},
		"its address":                 {"GET / HTTP/1.1\r\nHost: " + strings.Replace(authority, "cred-proxy", inOwnNetwork, 1) + "\r\n\r\n", wrongHost},
		"a user":                      {"GET / HTTP/1.1\r\nHost: evil.test@" + authority + "\r\n\r\n", "400 400 Bad Request: malformed Host header"},
		"no host":                     {"GET / HTTP/1.0\r\n\r\n", wrongHost},
		"two hosts":                   {"GET / HTTP/1.1\r\nHost: " + authority + "\r\nHost: evil.test\r\n\r\n", "400 400 Bad Request"},
		"two lengths":                 {"POST / HTTP/1.1\r\nHost: " + authority + "\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello", "400 400 Bad Request"},
		"a greeting":                  {"EHLO evil.test\r\n\r\n", "400 400 Bad Request"},
		"a path like a host":          {"GET //evil.test/x HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", "200 ok"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, withDLP("block", "cred-proxy", "supervise"), answers)
			p.names = &fakeResolver{}
			conn, br := inside(t, p, authority)
			if got := askInside(t, conn, br, c.request); got != c.answer {
				t.Errorf("got %q, want %q", got, c.answer)
			}
			if c.answer == "200 ok" {
				passed = s.bytes.String()
			}
			if p.resolver.questions("evil.test") > 0 || other.bytes.String() != "" || s.bytes.String() != passed {
				t.Errorf("DNS was asked %q, and the upstreams got %q, %q", p.resolver.asked, s.bytes.String(), other.bytes.String())
			}
		})
	}
}

// TestAttackTLSInside: a tunnel for plain HTTP carries no TLS, which nobody could scan, and nothing else.
func TestAttackTLSInside(t *testing.T) {
	for name, c := range map[string]struct {
		sent         []byte
		code, reason string
	}{
		"TLS":                 {helloTo(t, "cred-proxy"), audit.CodePortNotAllowed, "port %s of cred-proxy not in allowlist"},
		"TLS to another name": {helloTo(t, "evil.test"), audit.CodePortNotAllowed, "port %s of cred-proxy not in allowlist"},
		"SSH":                 {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), audit.CodeMalformed, noHello},
		"nothing":             {nil, audit.CodeMalformed, noHello},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSeenAt(t, inOwnNetwork, "cred-proxy")
			authority := strings.TrimPrefix(s.base, "http://")
			p := startProxy(t, withDLP("block", "cred-proxy"), map[string][]string{"cred-proxy": {inOwnNetwork}})
			p.helloTime = 300 * time.Millisecond
			conn, br := inside(t, p, authority)
			conn.Write(c.sent)
			if answer, err := io.ReadAll(br); err != nil || !bytes.Equal(answer, accessDenied) {
				t.Errorf("answer %x, %v", answer, err)
			}
			_, port, _ := net.SplitHostPort(authority)
			p.wantLog(map[string]any{"action": "deny", "host": "cred-proxy", "code": c.code, "reason": strings.Replace(c.reason, "%s", port, 1)})
			if len(p.resolver.asked) > 0 || s.bytes.String() != "" {
				t.Errorf("DNS was asked %q, and the upstream got %q", p.resolver.asked, s.bytes.String())
			}
		})
	}
}

// TestInsideWherePlainHTTPIsAllowed: to a host's own entry HOST:PORT, tunnels carry both. To the ports of an entry without one, tunnels for
// plain HTTP exist on port 80 only, so that a client that wants TLS learns at once that the port is closed.
func TestInsideWherePlainHTTPIsAllowed(t *testing.T) {
	s := startSeen(t, "local.test")
	authority := strings.TrimPrefix(s.base, "http://")
	p := startProxy(t, withDLP("block", authority, "other.test"), map[string][]string{"local.test": toLoopback, "other.test": {"192.0.2.1"}})
	conn, br := inside(t, p, authority)
	if got := askInside(t, conn, br, "GET /x HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); got != "200 ok" {
		t.Error(got)
	}
	for authority, want := range map[string]int{"other.test:80": 200, "other.test:8080": 403, "local.test:80": 403, "evil.test:80": 403} {
		if _, _, resp := p.connect(authority); resp.StatusCode != want {
			t.Errorf("CONNECT %s: %s, want %d", authority, resp.Status, want)
		}
	}
	// Port 80 is usual, so the Host header has none.
	conn, br = inside(t, p, "other.test:80")
	if got, want := askInside(t, conn, br, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"), "403 blocked: SSRF blocked: other.test resolves to internal IP 192.0.2.1 (documentation)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestInsideRevoked: a reload ends the requests in tunnels that it no longer allows, and refuses further ones.
func TestInsideRevoked(t *testing.T) {
	began := make(chan struct{}, 1)
	port := tcpServerAt(t, inOwnNetwork, func(conn *net.TCPConn) {
		http.ReadRequest(bufio.NewReader(conn))
		began <- struct{}{}
		io.Copy(io.Discard, conn)
	})
	p := startProxy(t, withDLP("block", "cred-proxy", "a.test"), map[string][]string{"cred-proxy": {inOwnNetwork}})
	p.names = &fakeResolver{}
	idle, idleReader := inside(t, p, "cred-proxy:"+port)
	if got := askInside(t, idle, idleReader, "GET http://x/ HTTP/1.1\r\nHost: cred-proxy:"+port+"\r\n\r\n"); !strings.HasPrefix(got, "400") {
		t.Error(got)
	}
	waiting, waitingReader := inside(t, p, "cred-proxy:"+port)
	io.WriteString(waiting, "GET / HTTP/1.1\r\nHost: cred-proxy:"+port+"\r\n\r\n")
	<-began
	later, laterReader := inside(t, p, "cred-proxy:"+port)
	sidecartest.Until(t, "the tunnel to wait for its first byte", p.log, func() bool {
		p.exchanges.mu.Lock()
		defer p.exchanges.mu.Unlock()
		return len(p.exchanges.open) == 2
	})
	p.reload(withDLP("block", "a.test"))
	if resp, err := http.ReadResponse(waitingReader, nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("the request under way: %v, %v", resp, err)
	}
	later.SetDeadline(time.Now().Add(sidecartest.Patience))
	if n, err := laterReader.Read(make([]byte, 1)); err == nil {
		t.Errorf("the tunnel without a request is still open: %d bytes", n)
	}
}

// FuzzInside: whatever a client sends in a tunnel is refused, or is a request to the tunnel's host and port in the form that the client
// would have sent without a tunnel.
func FuzzInside(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: cred-proxy:9099\r\n\r\n", "GET //x HTTP/1.1\r\nHost: CRED-PROXY.:9099\r\n\r\n", "GET http://x/ HTTP/1.1\r\nHost: cred-proxy:9099\r\n\r\n",
		"GET /?a=http://x HTTP/1.1\r\nHost: cred-proxy:09099\r\n\r\n", "CONNECT /x HTTP/1.1\r\nHost: cred-proxy:9099\r\n\r\n", "GET /%2f..//@x:1/ HTTP/1.1\r\nHost: cred-proxy:9099\r\n\r\n",
		"SSH-2.0-x\r\n", "\x16\x03\x01", "EHLO x\r\n",
	} {
		f.Add([]byte(seed))
	}
	origin, err := newTarget("cred-proxy", "9099")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		br := bufio.NewReader(bytes.NewReader(sent))
		begins := beginsRequest(br)
		if n := br.Buffered(); !bytes.HasPrefix(sent, mustPeek(t, br, n)) {
			t.Fatal("some of it is lost")
		}
		r, err := http.ReadRequest(br)
		if err != nil || !begins {
			return
		}
		path := r.RequestURI
		if err := toAbsolute(r, origin); err != nil {
			return
		}
		if got, err := absoluteTarget(r.URL); err != nil || got != origin {
			t.Fatalf("%q goes to %v, %v", sent, got, err)
		}
		if r.Method == http.MethodConnect || r.RequestURI != "http://cred-proxy:9099"+path || !strings.HasPrefix(path, "/") {
			t.Fatalf("%q became %q", sent, r.RequestURI)
		}
	})
}

func mustPeek(t *testing.T, br *bufio.Reader, n int) []byte {
	t.Helper()
	b, err := br.Peek(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
