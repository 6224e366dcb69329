package credproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// script is an upstream over plain HTTP, in the place of pipelock, that does with a connection what a test wants.
type script struct {
	*bench
	requests chan string      // request lines as they come
	conns    func(n int) bool // whether so many connections were made
}

// newScript calls serve for each connection, with its number, and closes it afterwards.
func newScript(t *testing.T, serve func(s *script, n int, conn net.Conn, r *bufio.Reader)) *script {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &script{bench: newBench(t, nil, to("/a/", "http://upstream.example")), requests: make(chan string, 100)}
	made := make(chan struct{}, 100)
	s.conns = func(n int) bool { return len(made) == n }
	s.loader.pipelock, s.loader.dialer = &url.URL{Scheme: "http", Host: listener.Addr().String()}, nil
	s.reload()
	go func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			made <- struct{}{}
			go func() {
				defer conn.Close()
				serve(s, n, conn, bufio.NewReader(conn))
			}()
		}
	}()
	return s
}

// read takes one request, with its body, from the connection.
func (s *script) read(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(request.Body)
	s.requests <- strings.TrimSpace(request.Method + " " + request.RequestURI + " " + string(body))
	return err == nil
}

const plainOK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// conversation is a client's connection, for many requests.
type conversation struct {
	net.Conn
	t       *testing.T
	answers *bufio.Reader
}

func (b *bench) converse() *conversation {
	b.t.Helper()
	conn := sidecartest.Dial(b.t, b.server.Listener.Addr().String())
	return &conversation{conn, b.t, bufio.NewReader(conn)}
}

func (c *conversation) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// hears reads an answer to a method and returns its status, body, and whether the connection ends with it.
func (c *conversation) hears(method string) (status int, body string, closes bool) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.answers, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Close
}

func (c *conversation) hearsTheEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.answers); err != nil || len(rest) > 0 {
		c.t.Errorf("%q, %v; want the end of the connection", rest, err)
	}
}

const ask = "GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n"

func TestUpstreamConnectionIsUsedAgain(t *testing.T) {
	s := newScript(t, func(s *script, _ int, conn net.Conn, r *bufio.Reader) {
		for s.read(r) {
			_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+plainOK)
		}
	})
	for _, request := range []string{
		ask, "POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST /a/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		ask, "POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000), ask,
	} {
		if resp := s.raw(request); resp.StatusCode != http.StatusOK || resp.body != "hello" {
			t.Fatalf("%.30q: %s %q", request, resp.Status, resp.body)
		}
	}
	if !s.conns(1) {
		t.Error("the upstream's connection was not used again")
	}
}

// TestConnectionThatEndsWhileIdle: what an upstream does with a connection on which nothing is under way is no
// failure of the next request.
func TestConnectionThatEndsWhileIdle(t *testing.T) {
	closed := make(chan struct{}, 10)
	s := newScript(t, func(s *script, _ int, conn net.Conn, r *bufio.Reader) {
		s.read(r)
		_, _ = io.WriteString(conn, plainOK)
		conn.Close()
		closed <- struct{}{}
	})
	for range 3 {
		if resp := s.raw("POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s %s", resp.Status, resp.body)
		}
		<-closed
	}
}

// TestOnlySafeRequestsAreMadeAgain when a connection that was used before ends without an answer.
func TestOnlySafeRequestsAreMadeAgain(t *testing.T) {
	s := newScript(t, func(s *script, n int, conn net.Conn, r *bufio.Reader) {
		for i := 0; s.read(r) && (n%2 == 0 || i == 0); i++ { // the odd ones answer once
			_, _ = io.WriteString(conn, plainOK)
		}
	})
	s.get("/a/first")
	if resp := s.get("/a/again"); resp.StatusCode != http.StatusOK {
		t.Errorf("GET: %s %s; want it made again", resp.Status, resp.body)
	}
	s.loader.table.Load().at("/a/").upstreams.close()
	if resp := s.raw("POST /a/last HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s", resp.Status)
	}
	var seen []string
	for len(s.requests) > 0 {
		seen = append(seen, <-s.requests)
	}
	if want := "GET http://upstream.example/first,GET http://upstream.example/again,GET http://upstream.example/again,POST http://upstream.example/last abc"; strings.Join(seen, ",") != want {
		t.Errorf("the upstream saw %q", seen)
	}
}

func TestOthersAreNotMadeAgain(t *testing.T) {
	s := newScript(t, func(s *script, _ int, conn net.Conn, r *bufio.Reader) {
		s.read(r)
		_, _ = io.WriteString(conn, plainOK)
		s.read(r) // and no answer
	})
	s.get("/a/")
	if resp := s.raw("POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("POST: %s %s; want 502", resp.Status, resp.body)
	}
	if len(s.requests) != 2 || !s.conns(1) {
		t.Errorf("the upstream saw %d requests", len(s.requests))
	}
}

// TestUnaskedAnswerIsNoAnswer: one that comes before its request would shift all that follow by one.
func TestUnaskedAnswerIsNoAnswer(t *testing.T) {
	s := newScript(t, func(s *script, n int, conn net.Conn, r *bufio.Reader) {
		for s.read(r) {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			if n == 1 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
		}
	})
	s.get("/a/")
	if resp := s.get("/a/"); resp.body != "2" {
		t.Errorf("%s %q; want the answer of another connection", resp.Status, resp.body)
	}
}

func TestUpstreamThatBreaksOff(t *testing.T) {
	answers := map[string]string{
		"/length":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome",
		"/chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nsome",
		"/chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
		"/large":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxUpstreamBytes) + "\r\nContent-Length: 0\r\n\r\n",
		"/interim": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 6) + plainOK,
		"/both":    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
	}
	s := newScript(t, func(_ *script, _ int, conn net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, answers[request.URL.Path])
	})
	for path := range answers {
		resp, err := http.Get(s.server.URL + "/a" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if cut := resp.StatusCode == http.StatusOK && err != nil && string(body) == "some"; !cut && resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %s %q, %v; want a cut response, or 502", path, resp.Status, body, err)
		}
	}
}

// TestBodyless: what has no body by its nature leaves the connection in order.
func TestBodyless(t *testing.T) {
	answers := map[string]string{
		"HEAD": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET": "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"DELETE": "HTTP/1.1 204 No Content\r\n\r\n", "PUT": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	}
	s := newScript(t, func(_ *script, _ int, conn net.Conn, r *bufio.Reader) {
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, answers[request.Method])
		}
	})
	c := s.converse()
	for range 2 {
		for method, want := range map[string]int{"HEAD": 200, "GET": 304, "DELETE": 204, "PUT": 200} {
			c.say(method + " /a/ HTTP/1.1\r\nHost: x\r\n\r\n")
			if status, body, closes := c.hears(method); status != want || body != "" || closes {
				t.Errorf("%s: %d %q, closes is %v", method, status, body, closes)
			}
		}
	}
	c.say("HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\nHEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, want := range []int{404, 200} {
		if status, body, _ := c.hears("HEAD"); status != want || body != "" {
			t.Errorf("%d %q; want %d", status, body, want)
		}
	}
}

func TestOldClients(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hel")
		_ = http.NewResponseController(w).Flush() // so that the length is not known
		_, _ = io.WriteString(w, "lo")
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	answer, closed := b.exchange("GET /a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if !closed || !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(answer, "\r\n\r\nhello") || strings.Contains(answer, "chunked") {
		t.Errorf("%q, closed is %v; want a body that ends with the connection", answer, closed)
	}
}

func TestExpectContinue(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	b := newBench(t, u.ca(), to("/a/", u.URL))
	head := "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: %s\r\n\r\n"
	c := b.converse()
	c.say(fmt.Sprintf(head, "/a/", "100-Continue"))
	if line, err := c.answers.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v; want to be asked for the body", line, err)
	}
	if line, err := c.answers.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	c.say("hello")
	if status, body, closes := c.hears("POST"); status != 200 || body != "hello" || closes {
		t.Errorf("%d %q, closes is %v", status, body, closes)
	}
	for path, want := range map[string]int{"/nowhere": 404, "/a/": 417} {
		expect := map[int]string{404: "100-continue", 417: "something else"}[want]
		c := b.converse()
		c.say(fmt.Sprintf(head, path, expect)) // and no body
		if status, _, closes := c.hears("POST"); status != want || !closes {
			t.Errorf("%s: %d, closes is %v; want %d and the end, without being asked for the body", path, status, closes, want)
		}
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.hearsTheEnd()
	}
}

// TestBodyNobodyReads is no request.
func TestBodyNobodyReads(t *testing.T) {
	b := newBench(t, nil)
	c := b.converse()
	c.say("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\nGET /healthz?hidden HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, _, closes := c.hears("GET"); status != 200 || !closes {
		t.Errorf("%d, closes is %v; want the end of the connection", status, closes)
	}
	c.hearsTheEnd()
}

func TestSlowClients(t *testing.T) {
	b := newBench(t, nil)
	impatient := newServer(b.handler)
	impatient.http1.HeaderTimeout, impatient.http1.KeepAlive = 1500*time.Millisecond, 2500*time.Millisecond
	b.server.end(t)
	b.server = newTestServer(t, impatient)
	silent, slow, idle, slowLater := b.converse(), b.converse(), b.converse(), b.converse()
	slow.say("GET /healthz HTTP/1.1\r\nHost: ")
	for _, c := range []*conversation{idle, slowLater} {
		c.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if status, _, closes := c.hears("GET"); status != 200 || closes {
			t.Errorf("%d, closes is %v", status, closes)
		}
	}
	slowLater.say("G")
	for _, c := range []*conversation{silent, slow, idle, slowLater} {
		c.hearsTheEnd()
	}
}
