package pipelock

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// upstreamFor starts a plain HTTP server and returns the URL under which the proxy's clients know it.
func upstreamFor(t *testing.T, host string, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return "http://" + host + server.URL[strings.LastIndexByte(server.URL, ':'):]
}

func TestForwardAllowed(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.RequestURI, sent)
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	const path = "//a%2Fb/../c;d?x=1;y=%zz&secret=hunter2"
	req, err := http.NewRequest(http.MethodPost, base, strings.NewReader("secret-body"))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = base + path
	resp, err := p.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	want := "POST " + strings.TrimPrefix(base, "http://") + " " + path + " secret-body"
	if got := body(t, resp); resp.StatusCode != http.StatusTeapot || got != want || resp.Header.Get("X-Answer") != "yes" {
		t.Errorf("got %s %q, want %q", resp.Status, got, want)
	}
	p.wantLog(map[string]any{
		"action": "allow", "method": "POST", "host": "local.test", "status": 418, "sent": 11, "received": len(want),
		"address": "127.0.0.1" + base[strings.LastIndexByte(base, ':'):], "reason": nil,
	})
	for _, secret := range []string{"hunter2", "secret-body", "a%2Fb"} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestForwardDenied(t *testing.T) {
	p := startProxy(t, settings([]string{"private.test", "unknown.test", "local.test"}, "fetch_proxy: {monitoring: {max_url_length: 100}}"),
		map[string][]string{"private.test": {"10.0.0.1"}, "local.test": toLoopback, "evil.test": toLoopback})
	for request, want := range map[string]string{
		"GET http://evil.test/":                                 "403 blocked: domain not in allowlist: evil.test",
		"GET http://EVIL.test./":                                "403 blocked: domain not in allowlist: evil.test",
		"GET http://127.0.0.1/":                                 "403 blocked: domain not in allowlist: 127.0.0.1",
		"GET http://0x7f000001/":                                "403 blocked: SSRF blocked: 0x7f000001 is an address in an unusual notation",
		"GET http://private.test/":                              "403 blocked: SSRF blocked: private.test resolves to internal IP 10.0.0.1 (private)",
		"GET http://local.test@evil.test/":                      "400 blocked: the URL has user information before its host",
		"GET https://local.test/":                               "400 blocked: scheme \"https\" not allowed: use http, or CONNECT for https",
		"GET http://local.test/" + strings.Repeat("x", 96):      "403 blocked: URL length 114 exceeds maximum 100",
		"GET http://unknown.test/":                              "502 cannot reach unknown.test",
		"GET http://local.test:1/":                              "502 cannot reach local.test",
		"GET http://local.test/ HTTP/1.1\r\nUpgrade: websocket": "426 blocked: WebSocket over plain HTTP is not supported: use HTTP, or wss through CONNECT",
		"GET http://evil.test/ HTTP/1.1\r\nUpgrade: websocket":  "403 blocked: domain not in allowlist: evil.test",
		"GET /path":                         "404 404 page not found",
		"POST /health":                      "404 404 page not found",
		"GET /fetch?url=http://local.test/": "404 404 page not found",
	} {
		if !strings.Contains(request, "HTTP/1.1") {
			request += " HTTP/1.1"
		}
		resp := p.ask(request + "\r\nHost: local.test\r\n\r\n")
		if got := fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body(t, resp))); got != want {
			t.Errorf("%q: got %q, want %q", request, got, want)
		}
	}
}

func TestExplainOff(t *testing.T) {
	p := startProxy(t, strings.Replace(settings([]string{"a.test"}, ""), "explain_blocks: true", "explain_blocks: false", 1), nil)
	if _, _, resp := p.connect("evil.test:443"); resp.StatusCode != http.StatusForbidden || resp.Header.Get(hintHeader) != "" {
		t.Errorf("%s, hint %q", resp.Status, resp.Header.Get(hintHeader))
	}
}

// TestForwardHostConfusion: the Host header has no say in where a request goes or what it says there.
func TestForwardHostConfusion(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	resp := sidecartest.Ask(t, conn, "GET "+base+"/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	if got := body(t, resp); got != strings.TrimPrefix(base, "http://") {
		t.Errorf("the upstream saw Host %q", got)
	}
	if resp := sidecartest.Ask(t, conn, "GET http://evil.test/ HTTP/1.1\r\nHost: local.test\r\n\r\n"); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
}

func TestForwardHeaders(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Hop-Answer")
		w.Header().Set("X-Hop-Answer", "1")
		w.Header().Set("Proxy-Authenticate", "Basic")
		json.NewEncoder(w).Encode(r.Header)
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	resp := p.ask(fmt.Sprintf("GET %s/ HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop, Upgrade\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\n"+
		"Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nAuthorization: Bearer kept\r\nAccept-Encoding: br\r\n\r\n", base))
	got := body(t, resp)
	if want := `{"Accept-Encoding":["br"],"Authorization":["Bearer kept"]}` + "\n"; got != want {
		t.Errorf("the upstream saw %s, want %s", got, want)
	}
	for _, name := range []string{"X-Hop-Answer", "Proxy-Authenticate", "Connection"} {
		if resp.Header.Get(name) != "" {
			t.Errorf("the client saw %s", name)
		}
	}
}

// TestForwardSmuggling: a request whose length can be read in two ways is refused, or passed on with
// one length.
func TestForwardSmuggling(t *testing.T) {
	requests := make(chan string, 10)
	port := tcpServer(t, func(conn *net.TCPConn) {
		br := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			sent, _ := io.ReadAll(r.Body)
			requests <- fmt.Sprintf("%s %s %d %v %s", r.Method, r.URL, r.ContentLength, r.TransferEncoding, sent)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for headers, want := range map[string]string{
		"Content-Length: 0\r\nContent-Length: 44":                          "",
		"Content-Length: 0, 44":                                            "",
		"Content-Length: +3":                                               "",
		"Content-Length: 0\r\nTransfer-Encoding: xchunked":                 "",
		"Transfer-Encoding: chunked, identity":                             "",
		"Transfer-Encoding : chunked":                                      "",
		"X: 1\r\n Transfer-Encoding: chunked":                              "GET / 0 [] ",
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "GET / -1 [chunked] ",
	} {
		conn := p.raw()
		fmt.Fprintf(conn, "GET http://local.test:%s/ HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", port, headers)
		if want == "" {
			io.WriteString(conn, smuggled)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%q: %v", headers, err)
			continue
		}
		if (want == "") != (resp.StatusCode >= 400) {
			t.Errorf("%q: %s", headers, resp.Status)
		}
		var seen []string
		for len(requests) > 0 {
			seen = append(seen, <-requests)
		}
		if got := strings.Join(seen, "; "); got != want {
			t.Errorf("%q: the upstream saw %q, want %q", headers, got, want)
		}
	}
}

// TestForwardStreams: events come one by one while the upstream still works.
func TestForwardStreams(t *testing.T) {
	next := make(chan struct{})
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	resp, err := p.client().Get(base)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 3 {
		if line, err := br.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		br.ReadString('\n')
		next <- struct{}{}
	}
}

// TestForwardUploadStreams: the upstream sees the beginning of a body before its end was sent, and may
// answer in between.
func TestForwardUploadStreams(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "got "+line)
			w.(http.Flusher).Flush()
		}
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	resp := sidecartest.Ask(t, conn, "POST "+base+"/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
	br := bufio.NewReader(resp.Body)
	if line, err := br.ReadString('\n'); err != nil || line != "got one\n" {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(conn, "4\r\ntwo\n\r\n0\r\n\r\n")
	if rest, err := io.ReadAll(br); err != nil || string(rest) != "got two\n" {
		t.Fatalf("%q, %v", rest, err)
	}
}

// TestForwardClientGone: the upstream's request ends with the client.
func TestForwardClientGone(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	base := upstreamFor(t, "local.test", func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n", base)
	<-began
	conn.Close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the upstream still works")
	}
}

// TestForwardBrokenAnswer: an answer that breaks off isn't made to look whole.
func TestForwardBrokenAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		port := tcpServer(t, func(conn *net.TCPConn) {
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, answer)
		})
		p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
		resp, err := p.client().Get("http://local.test:" + port)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: got %q as if it were whole", name, got)
		}
		p.wantLog(map[string]any{"action": "allow", "status": 200, "received": 4, "reason": "broken off"})
	}
}

// TestForwardNotHTTP: what an upstream says instead of HTTP is neither passed on nor logged.
func TestForwardNotHTTP(t *testing.T) {
	port := tcpServer(t, func(conn *net.TCPConn) {
		conn.Read(make([]byte, 1024))
		io.WriteString(conn, "secret-banner\r\n\r\n")
	})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	resp, err := p.client().Get("http://local.test:" + port)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, resp); resp.StatusCode != http.StatusBadGateway || strings.Contains(got, "secret") {
		t.Errorf("%s %q", resp.Status, got)
	}
	p.wantLog(map[string]any{"action": "error", "reason": "the connection broke off or the answer was not HTTP"})
}

func TestForwardIdle(t *testing.T) {
	t.Parallel() // it waits
	config := strings.Replace(settings([]string{"local.test"}, ""), "idle_timeout_seconds: 30", "idle_timeout_seconds: 1", 1)
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			pace := time.NewTicker(600 * time.Millisecond)
			defer pace.Stop()
			for range 3 { // longer than the limit in all, but never silent for it
				<-pace.C
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
			}
			return
		}
		<-r.Context().Done()
	})
	p := startProxy(t, config, map[string][]string{"local.test": toLoopback})
	resp, err := p.client().Get(base + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, resp); got != "xxx" {
		t.Errorf("got %q", got)
	}
	start := time.Now()
	if resp, err := p.client().Get(base + "/silent"); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("a silent upstream was answered for")
	}
	if waited := time.Since(start); waited > 3*time.Second {
		t.Errorf("gave up after %s", waited)
	}
}

// TestForwardTotalTime: a stream that never ends has its end in timeout_seconds.
func TestForwardTotalTime(t *testing.T) {
	t.Parallel() // it waits
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for ; r.Context().Err() == nil; <-pace.C {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
		}
	})
	p := startProxy(t, settings([]string{"local.test"}, "fetch_proxy: {timeout_seconds: 1}"), map[string][]string{"local.test": toLoopback})
	resp, err := p.client().Get(base)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.ReadAll(resp.Body); err == nil || time.Since(start) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
