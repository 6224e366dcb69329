package pipelock

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// revokeLimit is how soon what is not allowed any more must have ended.
const revokeLimit = time.Second

// wantRevoked wants the connection to end in time, and the log's n-th line to say why.
func (p *testProxy) wantRevoked(n int, since time.Time, conn io.Reader, reason string) {
	p.t.Helper()
	_, _ = io.Copy(io.Discard, conn) // a reset is an end, too
	if took := time.Since(since); took > revokeLimit {
		p.t.Errorf("it ended after %s", took)
	}
	line := p.logged(n)
	if line["action"] != actionDeny || line["reason"] != "revoked: "+reason {
		p.t.Errorf("the log has %v, %v; want a denial: %s", line["action"], line["reason"], reason)
	}
}

// echoes fails the test unless the tunnel works.
func echoes(t *testing.T, conn io.Writer, br io.Reader) {
	t.Helper()
	got := make([]byte, 5)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "hello" {
		t.Fatalf("the open tunnel: %q, %v", got, err)
	}
}

// TestAttackTunnelOutlivesItsEntry: what leaves the allowlist, a host, a port or a range of addresses, takes its tunnels with
// it, and no others.
func TestAttackTunnelOutlivesItsEntry(t *testing.T) {
	port := echo(t)
	answers := map[string][]string{"local.test": toLoopback, "other.test": toLoopback, "sub.wild.test": toLoopback, "inside.test": {"127.0.0.1"}}
	all := []string{"other.test:" + port, "local.test:" + port, "*.wild.test:" + port}
	for name, c := range map[string]struct{ host, next, reason string }{
		"a host":             {"local.test", settings([]string{"other.test:" + port}, ""), "domain not in allowlist: local.test"},
		"a wildcard":         {"sub.wild.test", settings([]string{"other.test:" + port, "wild.test:" + port}, ""), "domain not in allowlist: sub.wild.test"},
		"a port":             {"local.test", settings([]string{"other.test:" + port, "local.test"}, ""), "port " + port + " of local.test not in allowlist"},
		"a port for another": {"local.test", settings([]string{"other.test:" + port, "local.test:1"}, ""), "port " + port + " of local.test not in allowlist"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, settings(all, ""), answers)
			conn, br, _ := p.tunnel(c.host + ":" + port)
			kept, keptBr, _ := p.tunnel("other.test:" + port)
			echoes(t, conn, br)
			start := time.Now()
			p.reload(c.next)
			p.wantRevoked(1, start, br, c.reason)
			echoes(t, kept, keptBr)
			if _, _, resp := p.tunnel(c.host + ":" + port); resp.StatusCode != http.StatusForbidden {
				t.Errorf("a new tunnel: %s", resp.Status)
			}
		})
	}
	t.Run("a private range", func(t *testing.T) {
		p := startProxy(t, settings(all, ""), answers)
		_, br, _ := p.tunnel("local.test:" + port)
		start := time.Now()
		p.reload(strings.Replace(settings(all, ""), "127.0.0.0/8", "127.0.0.2/32", 1))
		p.wantRevoked(1, start, br, "SSRF blocked: local.test resolves to internal IP 127.0.0.1 (loopback)")
	})
	t.Run("before the ClientHello", func(t *testing.T) {
		p := startProxy(t, settings(all, ""), answers)
		_, br, _ := p.connect("local.test:" + port)
		start := time.Now()
		p.reload(settings([]string{"other.test:" + port}, ""))
		p.wantRevoked(1, start, br, "domain not in allowlist: local.test")
	})
	t.Run("while it is busy", func(t *testing.T) {
		p := startProxy(t, settings(all, ""), answers)
		conn, br, _ := p.tunnel("local.test:" + port)
		go io.Copy(conn, &repeated{text: make([]byte, 1<<16)}) // and nobody reads what comes back
		br.Peek(1)
		start := time.Now()
		p.reload(settings([]string{"other.test:" + port}, ""))
		if line := p.logged(1); line["action"] != actionDeny || time.Since(start) > revokeLimit {
			t.Errorf("after %s: %v", time.Since(start), line)
		}
	})
}

// TestReloadKeepsTunnel: what is still allowed goes on, under however many reloads.
func TestReloadKeepsTunnel(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.tunnel("local.test:" + port)
	for _, next := range [][]string{{"local.test:" + port, "other.test"}, {"*.test:" + port}, {"local.test:" + port}} {
		p.reload(settings(next, ""))
		echoes(t, conn, br)
	}
}

// TestAttackReloadWhileDialling: the connection is made under the old policy and refused under the new one.
func TestAttackReloadWhileDialling(t *testing.T) {
	port := echo(t)
	for name, request := range map[string]string{
		"CONNECT": "CONNECT local.test:" + port + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET":     "GET http://local.test:" + port + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
			dial := p.dial
			p.dial = func(ctx context.Context, policy *policy, to target) (halfCloser, error) {
				p.reload(settings([]string{"other.test"}, ""))
				return dial(context.WithoutCancel(ctx), policy, to)
			}
			p.policy.Load().transport = newTransport(p.policy.Load(), p.dial)
			if resp := p.ask(request); resp.StatusCode != http.StatusForbidden {
				t.Error(resp.Status)
			}
			p.wantLog(map[string]any{"action": "deny", "status": 403, "reason": "revoked: domain not in allowlist: local.test"})
		})
	}
}

// TestAttackExchangeOutlivesItsEntry: the same for plain HTTP, whatever the exchange waits for.
func TestAttackExchangeOutlivesItsEntry(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(w http.ResponseWriter, r *http.Request)
		header  string
		status  int
	}{
		"a stream": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "", http.StatusOK},
		"an answer that nobody reads": {func(w http.ResponseWriter, _ *http.Request) {
			io.Copy(w, zeroes{})
		}, "", http.StatusOK},
		"an answer that does not come": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, "", http.StatusForbidden},
		"a body that does not come": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
		}, "Content-Length: 100\r\n", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended := make(chan struct{}, 1), make(chan struct{})
			base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				c.handler(w, r)
				close(ended)
			})
			p := startProxy(t, settings([]string{"local.test", "other.test"}, ""), map[string][]string{"local.test": toLoopback})
			conn := p.raw()
			fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\n%s\r\n", base, c.header)
			<-asked
			br := bufio.NewReader(conn)
			if c.status == http.StatusOK {
				br.Peek(1)
			}
			start := time.Now()
			p.reload(settings([]string{"other.test"}, ""))
			line := p.logged(1)
			<-ended
			if took := time.Since(start); line["action"] != actionDeny || line["reason"] != "revoked: domain not in allowlist: local.test" || took > revokeLimit {
				t.Errorf("after %s: %v", took, line)
			}
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("%v, %v", resp, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil && c.status == http.StatusOK {
				t.Error("an answer that was cut looks whole")
			}
		})
	}
}

// TestAttackUploadOutlivesStricterDLP: what began when secrets passed ends when they do not any more.
func TestAttackUploadOutlivesStricterDLP(t *testing.T) {
	s := startSeen(t, "local.test")
	p := startProxy(t, withDLP("warn", "local.test"), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegun\n", s.base)
	p.until("the upload to begin", func() bool { return strings.Contains(s.bytes.String(), "begun") })
	p.reload(withDLP("block", "local.test"))
	if resp := sidecartest.Ask(t, conn, token()); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	p.wantLog(map[string]any{"action": "deny", "reason": "revoked: request_body_scanning became stricter"})
	if strings.Contains(s.bytes.String(), token()) {
		t.Error("the secret left")
	}
}

// TestAttackAnotherNameLeadsInside: an allowed host whose DNS answers with an address of the bottle's internal network reaches
// nothing there, though privateCIDRs has it; and the bottle's own names lead nowhere else.
func TestAttackAnotherNameLeadsInside(t *testing.T) {
	var asked sidecartest.Buffer
	port := tcpServerAt(t, inOwnNetwork, func(conn *net.TCPConn) { fmt.Fprint(&asked, conn.RemoteAddr()) })
	const elsewhere = "127.0.9.9" // in privateCIDRs, and not in the internal network
	p := startProxy(t, settings([]string{"evil.test:" + port, "evil.test", inOwnNetwork, inOwnNetwork + ":" + port, "cred-proxy", "supervise", "cred-proxy:" + port}, ""), map[string][]string{
		"evil.test": {inOwnNetwork}, "cred-proxy": {elsewhere}, "supervise": {"93.184.216.34"},
	})
	inside, outside := ", which is in the bottle's internal network", ", which is outside of the bottle's internal network"
	n := 0
	for authority, reason := range map[string]string{
		"evil.test:" + port:          "evil.test resolves to " + inOwnNetwork + inside,
		inOwnNetwork + ":" + port:    inOwnNetwork + " resolves to " + inOwnNetwork + inside,
		"cred-proxy:" + port:         "cred-proxy resolves to " + elsewhere + outside,
		"CRED-PROXY.:" + port:        "cred-proxy resolves to " + elsewhere + outside,
		"supervise:443":              "supervise resolves to 93.184.216.34" + outside,
		"[::ffff:127.0.1.2]:" + port: inOwnNetwork + " resolves to " + inOwnNetwork + inside,
	} {
		if _, _, resp := p.connect(authority); resp.StatusCode != http.StatusForbidden || body(t, resp) != "CONNECT blocked: SSRF blocked: "+reason+"\n" {
			t.Errorf("CONNECT %s: %s", authority, resp.Status)
		}
		resp, err := p.client().Get("http://" + authority + "/")
		if err != nil || resp.StatusCode != http.StatusForbidden || body(t, resp) != "blocked: SSRF blocked: "+reason+"\n" {
			t.Errorf("GET %s: %v, %v", authority, resp, err)
		}
		n++
	}
	if asked.String() != "" || n != 6 {
		t.Errorf("the service inside was reached by %s", asked.String())
	}
}

// TestAttackOwnNameHalfInside: one answer of several is enough to refuse.
func TestAttackOwnNameHalfInside(t *testing.T) {
	for _, answer := range []string{inOwnNetwork + " 93.184.216.34", "10.0.0.1 " + inOwnNetwork} {
		p := startProxy(t, settings([]string{"cred-proxy", "evil.test"}, ""), map[string][]string{"cred-proxy": {answer}, "evil.test": {answer}})
		for _, host := range []string{"cred-proxy", "evil.test"} {
			if _, _, resp := p.connect(host + ":443"); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %s", host, answer, resp.Status)
			}
		}
	}
}
