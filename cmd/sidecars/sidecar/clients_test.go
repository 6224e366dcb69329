package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// bounded is a server whose handler answers at once, or for /wait when it is told to.
type bounded struct {
	*testing.T
	addr    string
	clients *Clients
	entered chan struct{}
	answer  chan struct{}
}

const patience = sidecartest.Patience

func startBounded(t *testing.T, conns int, headerBytes int64) *bounded {
	t.Helper()
	b := &bounded{T: t, clients: NewClients(conns, headerBytes, zerolog.Nop()), entered: make(chan struct{}), answer: make(chan struct{})}
	b.clients.Grace = 20 * time.Millisecond
	b.clients.exempt = func(net.Addr) bool { return false }
	server := &http.Server{ReadHeaderTimeout: patience, MaxHeaderBytes: 1 << 20, ConnState: b.clients.Track, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			b.entered <- struct{}{}
			<-b.answer
		}
		io.WriteString(w, "ok")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	go server.Serve(b.clients.Listen(l))
	t.Cleanup(func() {
		server.Close()
		b.clients.mu.Lock()
		defer b.clients.mu.Unlock()
		if !b.clients.headers.TryAcquire(headerBytes) || b.clients.open != 0 || b.clients.waiting.Len() != 0 {
			t.Errorf("afterwards %d connections are open and %d wait, or some of the budget is gone", b.clients.open, b.clients.waiting.Len())
		}
	})
	return b
}

func (b *bounded) dial(sent string) net.Conn {
	b.Helper()
	conn := sidecartest.Dial(b, b.addr)
	if _, err := io.WriteString(conn, sent); err != nil {
		b.Fatal(err)
	}
	return conn
}

func get(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n"
}

// status is that of the next answer; 0 for a connection that ends without one.
func (b *bounded) status(conn net.Conn) int {
	b.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Errorf("the answer breaks off: %v", err)
	}
	return resp.StatusCode
}

func (b *bounded) want(conn net.Conn, status int) {
	b.Helper()
	if got := b.status(conn); got != status {
		b.Errorf("got the status %d, want %d", got, status)
	}
}

// TestAttackIdleConnections: who holds connections and sends nothing, or half a header, makes way for who sends.
func TestAttackIdleConnections(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half a header": "GET / HTTP/1.1\r\nHost: x\r\nX: "} {
		t.Run(name, func(t *testing.T) {
			b := startBounded(t, 8, 1<<20)
			held := make([]net.Conn, 50)
			for i := range held {
				held[i] = b.dial(sent)
			}
			good := b.dial(get("/", ""))
			b.want(good, http.StatusOK)
			b.want(held[0], http.StatusServiceUnavailable)
			io.WriteString(good, get("/", ""))
			b.want(good, http.StatusOK)
		})
	}
}

// TestAttackKeptConnections: neither do connections that were served once. These end without an answer, as clients expect.
func TestAttackKeptConnections(t *testing.T) {
	b := startBounded(t, 8, 1<<20)
	kept := make([]net.Conn, 50)
	for i := range kept {
		kept[i] = b.dial(get("/", ""))
		b.want(kept[i], http.StatusOK)
	}
	b.want(b.dial(get("/", "")), http.StatusOK)
	b.want(kept[0], 0)
}

// TestAttackEveryPlaceBusy: when requests of all connections are handled, the next one is told; nobody is cut off for it.
func TestAttackEveryPlaceBusy(t *testing.T) {
	b := startBounded(t, 2, 1<<20)
	busy := []net.Conn{b.dial(get("/wait", "")), b.dial(get("/wait", ""))}
	<-b.entered
	<-b.entered
	b.want(b.dial(get("/", "")), http.StatusServiceUnavailable)
	close(b.answer)
	for _, conn := range busy {
		b.want(conn, http.StatusOK)
	}
	b.want(b.dial(get("/", "")), http.StatusOK)
}

// TestAttackHeadersInAll: headers of requests under way leave no room for another large one; it is told, and a client with
// an ordinary header is served.
func TestAttackHeadersInAll(t *testing.T) {
	for name, large := range map[string]string{
		"long lines":  "X: " + strings.Repeat("x", 64<<10) + "\r\n",
		"short lines": strings.Repeat("a:\r\n", 800),
	} {
		t.Run(name, func(t *testing.T) {
			b := startBounded(t, 100, 400<<10)
			busy := []net.Conn{b.dial(get("/wait", large)), b.dial(get("/wait", large))}
			<-b.entered
			<-b.entered
			b.want(b.dial(get("/", large)), http.StatusServiceUnavailable)
			b.want(b.dial(get("/", "Authorization: Bearer "+strings.Repeat("x", 2<<10)+"\r\n")), http.StatusOK)
			close(b.answer)
			for _, conn := range busy {
				b.want(conn, http.StatusOK)
			}
			b.want(b.dial(get("/", large)), http.StatusOK)
		})
	}
}

// TestAttackSlowLargeHeaders: large headers that never end make way for one that comes.
func TestAttackSlowLargeHeaders(t *testing.T) {
	b := startBounded(t, 1000, 400<<10)
	large := "X: " + strings.Repeat("x", 40<<10) + "\r\n"
	slow := make([]net.Conn, 100)
	for i := range slow {
		slow[i] = b.dial(strings.TrimSuffix(get("/", large), "\r\n"))
	}
	for start := time.Now(); b.status(b.dial(get("/", large))) != http.StatusOK; {
		if time.Since(start) > patience {
			t.Fatal("nobody made way")
		}
	}
	held := 0
	for _, conn := range slow {
		conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if b.status(conn) != http.StatusServiceUnavailable {
			held++
		}
	}
	if held > 4 { // that many have room
		t.Errorf("%d still hold what they sent", held)
	}
}

// TestHijackedKeepsItsShare: a tunnel's header is held until its connection ends, and its place is free at once.
func TestHijackedKeepsItsShare(t *testing.T) {
	c := NewClients(1, 1<<20, zerolog.Nop())
	c.exempt = func(net.Addr) bool { return false }
	tunnels := make(chan net.Conn, 2)
	server := &http.Server{ReadHeaderTimeout: patience, ConnState: c.Track, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		tunnels <- conn
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(c.Listen(l))
	t.Cleanup(func() { server.Close() })
	var kept []net.Conn
	for range 2 {
		conn := sidecartest.Dial(t, l.Addr().String())
		fmt.Fprint(conn, get("/", "X: "+strings.Repeat("x", 64<<10)+"\r\n"))
		kept = append(kept, <-tunnels)
	}
	const share = 2 * (costOfByte*64<<10 - freeCost)
	if c.headers.TryAcquire(1<<20 - share) {
		t.Error("two tunnels have taken less than their headers cost")
	}
	for _, tunnel := range kept {
		tunnel.Close()
	}
	if !c.headers.TryAcquire(1 << 20) {
		t.Error("something is taken when they have ended")
	}
}

// startTunnels is a server that readmits each connection after its first request, with what follows that.
func startTunnels(t *testing.T, c *Clients) (addr string) {
	t.Helper()
	c.exempt = func(net.Addr) bool { return false }
	c.Grace = 20 * time.Millisecond
	inner := &http.Server{ReadHeaderTimeout: patience, MaxHeaderBytes: 1 << 20, ConnState: c.Track, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "inside")
	})}
	outer := &http.Server{ReadHeaderTimeout: patience, ConnState: c.Track, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		ahead, _ := rw.Peek(rw.Reader.Buffered())
		if err := c.Readmit(conn, ahead); err != nil {
			conn.Close()
			return
		}
		inner.Serve(&oneConn{conn})
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go outer.Serve(c.Listen(l))
	t.Cleanup(func() { outer.Close(); inner.Close() })
	return l.Addr().String()
}

type oneConn struct{ net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if conn := l.Conn; conn != nil {
		l.Conn = nil
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestReadmit: a readmitted connection is served with what was read of it, is charged for its headers, and makes way for others when it is idle.
func TestReadmit(t *testing.T) {
	c := NewClients(2, 400<<10, zerolog.Nop())
	addr := startTunnels(t, c)
	large := "X: " + strings.Repeat("x", 64<<10) + "\r\n"
	var conns []net.Conn
	for i := range 10 { // far more than there are slots, each with a header for which there is room twice
		conn := sidecartest.Dial(t, addr)
		conns = append(conns, conn)
		fmt.Fprint(conn, get("/", large)+get("/", large))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("connection %d: %v, %v", i, resp, err)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	sidecartest.Until(t, "all to be released", nil, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		free := c.headers.TryAcquire(400 << 10)
		if free {
			c.headers.Release(400 << 10)
		}
		return free && c.open == 0 && c.waiting.Len() == 0
	})
}

// TestAttackReadmittedHeader: the header of a request in a tunnel is charged as any other.
func TestAttackReadmittedHeader(t *testing.T) {
	c := NewClients(100, 100<<10, zerolog.Nop())
	conn := sidecartest.Dial(t, startTunnels(t, c))
	fmt.Fprint(conn, get("/", "")+get("/", strings.Repeat("a:\r\n", 2000)))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", resp, err)
	}
	if err := c.Readmit(&net.TCPConn{}, nil); err == nil {
		t.Error("a connection of another listener is readmitted")
	}
}
