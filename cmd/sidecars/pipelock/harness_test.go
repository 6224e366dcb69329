package pipelock

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// fakeResolver answers with the addresses of a name, one list a question; the last one stays.
type fakeResolver struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   []string
}

func (f *fakeResolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, host)
	answers := f.answers[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		f.answers[host] = answers[1:]
	}
	var addrs []netip.Addr
	for s := range strings.FieldsSeq(answers[0]) {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs, nil
}

// questions returns how often a name was asked for.
func (f *fakeResolver) questions(host string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, asked := range f.asked {
		if asked == host {
			n++
		}
	}
	return n
}

type testProxy struct {
	*proxy
	t        *testing.T
	addr     string
	config   string
	log      *sidecartest.Buffer
	resolver *fakeResolver
}

// ownNetwork is the bottle's internal network in these tests: a part of what settings has for a private range.
var ownNetwork = netip.MustParsePrefix("127.0.1.0/28")

const inOwnNetwork = "127.0.1.2"

// settings is a configuration under which loopback may be reached.
func settings(allow []string, more string) string {
	return fmt.Sprintf(`mode: strict
explain_blocks: true
api_allowlist: ["%s"]
ssrf: {ip_allowlist: [127.0.0.0/8]}
forward_proxy: {enabled: true, max_tunnel_seconds: 60, idle_timeout_seconds: 30}
%s`, strings.Join(allow, `", "`), more)
}

func startProxy(t *testing.T, config string, answers map[string][]string) *testProxy {
	t.Helper()
	p := &testProxy{t: t, log: &sidecartest.Buffer{}, resolver: &fakeResolver{answers: answers}, config: filepath.Join(t.TempDir(), "pipelock.yaml")}
	log := zerolog.New(p.log)
	p.proxy = newProxy(log, ownNetwork)
	p.dial = dialer{resolver: p.resolver}.dial
	p.names = p.resolver
	p.reload(config)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	server := newServer(p.proxy, log)
	go server.Serve(p.clients.Listen(l))
	t.Cleanup(func() {
		server.Close()
		p.policy.Load().transport.CloseIdleConnections()
		if t.Failed() {
			t.Logf("log:\n%s", p.log)
		}
	})
	return p
}

func (p *testProxy) reload(config string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.load(p.config); err != nil {
		p.t.Fatal(err)
	}
}

// client is an HTTP client that knows the proxy the way an agent's does.
func (p *testProxy) client() *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr}), DisableCompression: true}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// raw opens a connection on which the test writes what it likes.
func (p *testProxy) raw() net.Conn { return p.rawTo(p.addr) }

// rawTo is raw to a proxy at another address.
func (p *testProxy) rawTo(addr string) net.Conn {
	p.t.Helper()
	return sidecartest.Dial(p.t, addr)
}

// connect opens a tunnel and returns it with the status of the answer.
func (p *testProxy) connect(authority string) (net.Conn, *bufio.Reader, *http.Response) {
	p.t.Helper()
	conn := p.raw()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: ignored.test\r\n\r\n", authority)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		p.t.Fatalf("CONNECT %s: %v", authority, err)
	}
	return conn, br, resp
}

// tunnel opens a tunnel to a tunnelServer and says hello to it, as TLS clients do.
func (p *testProxy) tunnel(authority string) (net.Conn, *bufio.Reader, *http.Response) {
	p.t.Helper()
	conn, br, resp := p.connect(authority)
	if resp.StatusCode == http.StatusOK {
		host, _, _ := net.SplitHostPort(authority)
		if _, err := conn.Write(helloTo(p.t, host)); err != nil {
			p.t.Fatal(err)
		}
	}
	return conn, br, resp
}

// logged waits for the n-th line of the log and returns it.
func (p *testProxy) logged(n int) map[string]any {
	p.t.Helper()
	p.until(fmt.Sprintf("%d log lines", n), func() bool { return strings.Count(p.log.String(), "\n") >= n })
	text := strings.Split(p.log.String(), "\n")[n-1]
	var line map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&line); err != nil {
		p.t.Fatalf("log line %q: %v", text, err)
	}
	return line
}

// ask sends a request over a connection of its own.
func (p *testProxy) ask(request string) *http.Response {
	p.t.Helper()
	return sidecartest.Ask(p.t, p.raw(), request)
}

func (p *testProxy) until(what string, ok func() bool) {
	p.t.Helper()
	sidecartest.Until(p.t, what, p.log, ok)
}

// wantLog holds the first line of the log against want; a nil is for a key that must not be there.
func (p *testProxy) wantLog(want map[string]any) {
	p.t.Helper()
	line := p.logged(1)
	for key, value := range want {
		if fmt.Sprint(line[key]) != fmt.Sprint(value) {
			p.t.Errorf("the log line has %s %v, want %v", key, line[key], value)
		}
	}
}

// helloLength is of what helloTo says to a name of 10 letters, like local.test.
func helloLength(t *testing.T) int { return len(helloTo(t, "local.test")) }

// echo is a server at the end of a tunnel that sends back what it gets, and its end after the client's.
func echo(t *testing.T) (port string) {
	t.Helper()
	return tunnelServer(t, func(conn *net.TCPConn) {
		io.Copy(conn, conn)
		conn.CloseWrite()
	})
}

// tunnelServer is a TCP server that takes no notice of the ClientHello that it gets first.
func tunnelServer(t *testing.T, serve func(*net.TCPConn)) (port string) {
	t.Helper()
	return tcpServer(t, func(conn *net.TCPConn) {
		header := make([]byte, 5)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, conn, int64(header[3])<<8|int64(header[4])); err == nil {
			serve(conn)
		}
	})
}

func tcpServer(t *testing.T, serve func(*net.TCPConn)) (port string) {
	t.Helper()
	return tcpServerAt(t, "127.0.0.1", serve)
}

func tcpServerAt(t *testing.T, address string, serve func(*net.TCPConn)) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
