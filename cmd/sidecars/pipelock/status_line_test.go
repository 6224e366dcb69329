package pipelock

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
)

// TestConnectStatusLine: a client that shows nothing but the status line shows the reason, and how to ask for more.
func TestConnectStatusLine(t *testing.T) {
	for authority, want := range map[string]string{
		"evil.test:443":                        "403 Blocked by sandbox policy: domain not in allowlist: evil.test (ask with pipelock-block)",
		"local.test:22":                        "403 Blocked by sandbox policy: port 22 of local.test not in allowlist (ask with pipelock-block)",
		"private.test:443":                     "403 Blocked by sandbox policy: SSRF blocked: private.test resolves to internal IP 10.0.0.1 (private)",
		"EVIL.test\x01\x80\u202e:443":          "400 Bad Request", // net/http's own
		"ev_il..test:443":                      "400 Blocked by sandbox policy: the host is not a DNS name (international names are written in punycode)",
		"x:y@evil.test:443":                    "400 Blocked by sandbox policy: the host is not a DNS name (international names are written in punycode)",
		token() + ".wild.test:443":             "403 Blocked by sandbox policy: request URL contains secret: github-pat",
		"unknown.test:443":                     "502 cannot reach unknown.test",
		strings.Repeat("a.", 120) + "test:443": "403 " + ("Blocked by sandbox policy: domain not in allowlist: " + strings.Repeat("a.", 120))[:phraseBytes-3] + "...",
	} {
		p := startProxy(t, withDLP("block", "local.test", "private.test", "unknown.test", "*.wild.test"), map[string][]string{"private.test": {"10.0.0.1"}})
		_, _, resp := p.connect(authority)
		if resp.Status != want || strings.Trim(resp.Status, printableASCII) != "" || len(resp.Status) > 4+phraseBytes {
			t.Errorf("%q: got %q, want %q", authority, resp.Status, want)
		}
		if _, err := io.ReadAll(resp.Body); err != nil || want != "400 Bad Request" && resp.ContentLength < 1 {
			t.Errorf("%q: the body: %v", authority, err)
		}
	}
}

var printableASCII = func() (all string) {
	for c := ' '; c <= '~'; c++ {
		all += string(c)
	}
	return all
}()

func TestPhrase(t *testing.T) {
	for text, want := range map[string]string{
		"as it is (1)":             "as it is (1)",
		"a\r\nSet-Cookie: x\x00\t": "a??Set-Cookie: x??",
		"b\u00fccher \xff":         "b?cher ?",
		strings.Repeat("x", 201):   strings.Repeat("x", 197) + "...",
	} {
		if got := phrase(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestConnectRefusalForClients: Go's client, like Python's and Java's, repeats the reason; the connection is closed and the answer arrives
// although the client has sent data behind CONNECT.
func TestConnectRefusalForClients(t *testing.T) {
	p := startProxy(t, settings([]string{"local.test"}, ""), nil)
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	tr := server.Client().Transport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr})
	resp, err := (&http.Client{Transport: tr}).Get("https://evil.test/")
	if want := "Blocked by sandbox policy: domain not in allowlist: evil.test (ask with pipelock-block)"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, %v, want %q", resp, err, want)
	}

	conn := p.raw()
	fmt.Fprintf(conn, "CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n%s", make([]byte, 100_000))
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil || strings.Count(string(answer), "HTTP/1.1 ") != 1 || !strings.HasSuffix(string(answer), "CONNECT blocked: domain not in allowlist: evil.test\n") {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestWebSocketFallback: 426 says which protocol to use instead, and the connection can be used for it.
func TestWebSocketFallback(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	for _, upgrade := range []string{"websocket", "WebSocket", "h2c, websocket", "h2c\r\nUpgrade: websocket"} {
		resp := p.ask("GET " + base + "/v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "HTTP/1.1" || resp.Header.Get(sidecar.BlockedHeader) == "" || resp.Close {
			t.Errorf("%q: %s, %v", upgrade, resp.Status, resp.Header)
		}
	}
}
