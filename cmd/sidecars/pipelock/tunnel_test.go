package pipelock

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/audit"
)

var toLoopback = []string{"127.0.0.1"}

func TestConnectAllowed(t *testing.T) {
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Host, r.URL)
	}))
	defer upstream.Close()
	port := upstream.URL[strings.LastIndexByte(upstream.URL, ':')+1:]
	p := startProxy(t, settings([]string{"example.com:" + port}, ""), map[string][]string{"example.com": toLoopback})

	tr := upstream.Client().Transport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr})
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://example.com:" + port + "/secret-path?q=secret-query")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := body(t, resp), "example.com:"+port+" /secret-path?q=secret-query"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	tr.CloseIdleConnections()
	p.wantLog(map[string]any{
		"event": "egress", "action": "allow", "method": "CONNECT", "host": "example.com", "port": port,
		"address": "127.0.0.1:" + port, "status": 200, "reason": nil,
	})
}

func TestConnectDenied(t *testing.T) {
	for name, c := range map[string]struct {
		authority string
		status    int
		body      string
		code      string
		hint      string
		asked     int
	}{
		"off the list":          {"evil.test:443", 403, "CONNECT blocked: domain not in allowlist: evil.test\n", audit.CodeHostNotAllowed, hintAllowlist, 0},
		"off the list, address": {"192.0.2.1:443", 403, "CONNECT blocked: domain not in allowlist: 192.0.2.1\n", audit.CodeHostNotAllowed, hintAllowlist, 0},
		"private":               {"private.test:443", 403, "CONNECT blocked: SSRF blocked: private.test resolves to internal IP 10.0.0.1 (private)\n", audit.CodeAddressBlocked, hintAddress, 1},
		"metadata":              {"meta.test:443", 403, "CONNECT blocked: SSRF blocked: meta.test resolves to internal IP 169.254.169.254 (cloud metadata)\n", audit.CodeAddressBlocked, hintAddress, 1},
		"mapped metadata":       {"mapped.test:443", 403, "CONNECT blocked: SSRF blocked: mapped.test resolves to internal IP 169.254.169.254 (cloud metadata)\n", audit.CodeAddressBlocked, hintAddress, 1},
		"one of several":        {"mixed.test:443", 403, "CONNECT blocked: SSRF blocked: mixed.test resolves to internal IP 192.168.1.1 (private)\n", audit.CodeAddressBlocked, hintAddress, 1},
		"address on the list":   {"10.9.9.9:443", 403, "CONNECT blocked: SSRF blocked: 10.9.9.9 resolves to internal IP 10.9.9.9 (private)\n", audit.CodeAddressBlocked, hintAddress, 0},
		"decimal address":       {"2130706433:443", 403, "CONNECT blocked: SSRF blocked: 2130706433 is an address in an unusual notation\n", audit.CodeAddressBlocked, hintAddress, 0},
		"a port not listed":     {"local.test:22", 403, "CONNECT blocked: port 22 of local.test not in allowlist\n", audit.CodePortNotAllowed, hintPort, 0},
		"another port listed":   {"local.test:81", 403, "CONNECT blocked: port 81 of local.test not in allowlist\n", audit.CodePortNotAllowed, hintPort, 0},
		"user information":      {"evil.test@private.test:443", 400, "CONNECT blocked: the host is not a DNS name (international names are written in punycode)\n", audit.CodeMalformed, "", 0},
		"unknown name":          {"unknown.test:443", 502, "cannot reach unknown.test\n", "", "", 1},
		"nobody listens":        {"local.test:1", 502, "cannot reach local.test\n", "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, settings([]string{"private.test", "meta.test", "mapped.test", "mixed.test", "unknown.test", "local.test", "local.test:1", "10.9.9.9"}, ""), map[string][]string{
				"private.test": {"10.0.0.1"},
				"meta.test":    {"169.254.169.254"},
				"mapped.test":  {"::ffff:169.254.169.254"},
				"mixed.test":   {"127.0.0.1 192.168.1.1"},
				"local.test":   toLoopback,
				"evil.test":    toLoopback,
			})
			_, _, resp := p.connect(c.authority)
			if got := body(t, resp); resp.StatusCode != c.status || got != c.body {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, got, c.status, c.body)
			}
			if hint, code := resp.Header.Get(hintHeader), resp.Header.Get(sidecar.BlockedHeader); hint != c.hint || code != c.code {
				t.Errorf("hint %q, code %q, want %q, %q", hint, code, c.hint, c.code)
			}
			if got := len(p.resolver.asked); got != c.asked {
				t.Errorf("%d questions to DNS (%q), want %d", got, p.resolver.asked, c.asked)
			}
			want := map[string]any{"action": actionDeny, "code": c.code, "status": c.status, "address": nil}
			if c.status == http.StatusBadGateway {
				want["action"], want["code"] = actionError, nil
			}
			p.wantLog(want)
			if strings.Contains(p.log.String(), "@") {
				t.Error("the log has what may be a password")
			}
		})
	}
}

// TestRebinding: the second answer would be a forbidden address, and must never be asked for; when a
// second request asks, it is refused.
func TestRebinding(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"rebind.test:" + port}, ""), map[string][]string{"rebind.test": {"127.0.0.1", "10.0.0.1"}})
	conn, br, resp := p.tunnel("rebind.test:" + port)
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	if got := p.resolver.questions("rebind.test"); got != 1 {
		t.Errorf("%d questions for one tunnel", got)
	}
	io.WriteString(conn, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, _, resp := p.tunnel("rebind.test:" + port); resp.StatusCode != http.StatusForbidden {
		t.Errorf("the second tunnel: %s", resp.Status)
	}
}

func TestDialTriesEveryAddress(t *testing.T) {
	port := echo(t)
	// 127.0.0.2 refuses: the server listens on 127.0.0.1 only.
	p := startProxy(t, settings([]string{"two.test:" + port}, ""), map[string][]string{"two.test": {"127.0.0.2 127.0.0.1"}})
	if _, _, resp := p.tunnel("two.test:" + port); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// TestTunnelHalfClose: the client's end reaches the server, whose answer still reaches the client.
func TestTunnelHalfClose(t *testing.T) {
	port := tunnelServer(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "got %d", len(all))
	})
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	io.WriteString(conn, "12345")
	conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(br); err != nil || string(got) != "got 5" {
		t.Errorf("%q, %v", got, err)
	}
	p.wantLog(map[string]any{"action": "allow", "sent": 5 + helloLength(t), "received": 5, "reason": nil})
}

// TestTunnelEarlyData: what the client sends together with CONNECT isn't lost.
func TestTunnelEarlyData(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "CONNECT local.test:%s HTTP/1.1\r\nHost: x\r\n\r\n%searly", port, helloTo(t, "local.test"))
	const answer = "HTTP/1.1 200 Connection Established\r\n\r\nearly"
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != answer {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTunnelLargeBothWays(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	sent := make([]byte, 8<<20)
	rand.Read(sent)
	go func() {
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(br); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
	}
	p.wantLog(map[string]any{"sent": len(sent) + helloLength(t), "received": len(sent)})
}

func TestTunnelIdle(t *testing.T) {
	t.Parallel() // it waits
	port := echo(t)
	config := strings.Replace(settings([]string{"local.test:" + port}, ""), "idle_timeout_seconds: 30", "idle_timeout_seconds: 1", 1)
	p := startProxy(t, config, map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	// One direction alone keeps the tunnel open: 3 × 0.6 s is longer than the limit.
	pace := time.NewTicker(600 * time.Millisecond)
	defer pace.Stop()
	for range 3 {
		<-pace.C
		conn.Write([]byte("x"))
		if _, err := br.ReadByte(); err != nil {
			t.Fatalf("the tunnel ended while it was in use: %v", err)
		}
	}
	start := time.Now()
	if _, err := br.ReadByte(); err == nil {
		t.Fatal("the tunnel did not end")
	}
	if waited := time.Since(start); waited < 800*time.Millisecond || waited > 3*time.Second {
		t.Errorf("the tunnel ended after %s", waited)
	}
	p.wantLog(map[string]any{"action": "allow", "reason": "tunnel reached idle_timeout_seconds"})
}

func TestTunnelTotalTime(t *testing.T) {
	t.Parallel() // it waits
	port := echo(t)
	config := strings.Replace(settings([]string{"local.test:" + port}, ""), "max_tunnel_seconds: 60", "max_tunnel_seconds: 1", 1)
	p := startProxy(t, config, map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for start := time.Now(); ; <-pace.C {
		if time.Since(start) > 3*time.Second {
			t.Fatal("the tunnel did not end")
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			break
		}
		if _, err := br.ReadByte(); err != nil {
			break
		}
	}
	p.wantLog(map[string]any{"reason": "tunnel reached max_tunnel_seconds"})
}

// TestTunnelUpstreamReset: a broken connection is not taken for an ordinary end.
func TestTunnelUpstreamReset(t *testing.T) {
	port := tunnelServer(t, func(conn *net.TCPConn) {
		conn.Read(make([]byte, 1))
		conn.SetLinger(0)
	})
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	conn.Write([]byte("x"))
	br.ReadByte()
	if reason := fmt.Sprint(p.logged(1)["reason"]); !strings.HasPrefix(reason, "connection broken: ") {
		t.Errorf("reason %q", reason)
	}
}

func TestConnectWithBody(t *testing.T) {
	p := startProxy(t, settings([]string{"local.test:1"}, ""), map[string][]string{"local.test": toLoopback})
	for _, header := range []string{"Content-Length: 4", "Transfer-Encoding: chunked"} {
		conn := p.raw()
		fmt.Fprintf(conn, "CONNECT local.test:1 HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", header)
		got := make([]byte, 12)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "HTTP/1.1 400" {
			t.Errorf("%s: %q, %v", header, got, err)
		}
	}
}

// TestExchangeLimit: no share of the buffers, no service; a share comes back with the end of a tunnel.
func TestExchangeLimit(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	p.buffers, p.shareTime = semaphore.NewWeighted(tunnelCost), 100*time.Millisecond
	conn, _, _ := p.tunnel("local.test:" + port)
	if _, _, resp := p.tunnel("local.test:" + port); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("with every share taken: %s", resp.Status)
	}
	conn.Close()
	p.logged(2)
	p.until("the share to come back", func() bool {
		_, _, resp := p.tunnel("local.test:" + port)
		return resp.StatusCode == http.StatusOK
	})
}

// TestTunnelsLeaveNothing: however a tunnel ends, its goroutines end with it.
func TestTunnelsLeaveNothing(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	before := runtime.NumGoroutine()
	for i := range 30 {
		conn, _, _ := p.tunnel("local.test:" + port)
		switch tcp := conn.(*net.TCPConn); i % 3 {
		case 0:
			tcp.Close()
		case 1:
			tcp.CloseWrite()
		case 2:
			tcp.SetLinger(0)
			tcp.Write(make([]byte, 1<<20))
			tcp.Close()
		}
	}
	p.logged(30)
	p.until("the goroutines of all tunnels to end", func() bool { return runtime.NumGoroutine() <= before })
}
