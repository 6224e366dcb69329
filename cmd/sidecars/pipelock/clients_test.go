package pipelock

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

func TestHealth(t *testing.T) {
	p := startProxy(t, settings([]string{"a.test"}, ""), nil)
	resp, err := http.Get("http://" + p.addr + "/health")
	if err != nil {
		t.Fatal(err)
	}
	var health struct{ Status, Mode string }
	if err := json.Unmarshal([]byte(body(t, resp)), &health); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || health.Status != "healthy" || health.Mode != "strict" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %+v", resp.Status, health)
	}
}

// TestUnreadBody: a refusal reaches a client that hasn't sent its body, and the connection is let go.
func TestUnreadBody(t *testing.T) {
	t.Parallel() // it waits
	p := startProxy(t, settings([]string{"a.test"}, ""), nil)
	conn := p.raw()
	start := time.Now()
	io.WriteString(conn, "POST http://evil.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403") || time.Since(start) > discardTime+2*time.Second {
		t.Errorf("after %s: %q, %v", time.Since(start), answer, err)
	}
}

// TestSlowHeader: a client that never ends its header is let go.
func TestSlowHeader(t *testing.T) {
	p := newProxy(startProxy(t, settings([]string{"a.test"}, ""), nil).proxy.log, netip.Prefix{})
	server := newServer(p, p.log)
	server.ReadHeaderTimeout = 200 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	conn := sidecartest.Dial(t, l.Addr().String())
	io.WriteString(conn, "GET http://a.test/ HTTP/1.1\r\nX: ")
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestHeaderTooLarge(t *testing.T) {
	p := startProxy(t, settings([]string{"a.test"}, ""), nil)
	if resp := p.ask(fmt.Sprintf("GET http://a.test/ HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*headerBytes))); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
}
