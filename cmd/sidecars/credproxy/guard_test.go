package credproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// exchange sends bytes to the real server, and returns all that it answers until it closes the connection, or stays silent.
func (b *bench) exchange(request string) (answer string, closed bool) {
	b.t.Helper()
	conn := sidecartest.Dial(b.t, b.server.Listener.Addr().String())
	defer conn.Close()
	_, _ = io.WriteString(conn, request) // it may be refused before all is sent
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	var timeout net.Error
	return string(data), !errors.As(err, &timeout) || !timeout.Timeout()
}

// drip is a listener whose connections are read byte by byte.
type drip struct{ net.Listener }

// Accept implements net.Listener.
func (d drip) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return drippingConn{conn.(*net.TCPConn)}, nil
}

type drippingConn struct{ *net.TCPConn }

// Read implements net.Conn.
func (c drippingConn) Read(p []byte) (int, error) { return c.TCPConn.Read(p[:min(len(p), 1)]) }

const smuggled = "GET /a/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

var (
	smuggledChunk  = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)
	smuggledLength = fmt.Sprintf("Content-Length: %d\r\n", len(smuggled))
)

func post(header, body string) string {
	return "POST /a/ HTTP/1.1\r\nHost: x\r\n" + header + "\r\n" + body
}

// smuggling is what two servers may read as a different number of requests.
var smuggling = map[string]string{
	"CL.TE":                            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
	"TE.CL":                            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", smuggledChunk),
	"TE.TE":                            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+smuggled),
	"TE twice":                         post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
	"TE list":                          post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+smuggled),
	"TE identity":                      post("Transfer-Encoding: identity\r\n"+smuggledLength, smuggled),
	"TE unknown":                       post("Transfer-Encoding: xchunked\r\n"+smuggledLength, smuggled),
	"TE quoted":                        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+smuggled),
	"TE vertical tab":                  post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"+smuggled),
	"TE space before the colon":        post("Transfer-Encoding : chunked\r\n"+smuggledLength, smuggled),
	"TE tab before the colon":          post("Transfer-Encoding\t: chunked\r\n"+smuggledLength, smuggled),
	"TE folded":                        post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+smuggled),
	"TE hidden by folding":             post("X: y\r\n Transfer-Encoding: chunked\r\n"+smuggledLength, smuggled),
	"TE behind a bare CR":              post("X: y\rTransfer-Encoding: chunked\r\n"+smuggledLength, smuggled),
	"TE behind a bare LF":              post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
	"TE in HTTP/1.0":                   strings.Replace(post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), "HTTP/1.1", "HTTP/1.0", 1),
	"CL twice, equal":                  post(smuggledLength+smuggledLength, smuggled),
	"CL twice, different":              post("Content-Length: 0\r\n"+smuggledLength, smuggled),
	"CL list":                          post(fmt.Sprintf("Content-Length: %d, %[1]d\r\n", len(smuggled)), smuggled),
	"CL with a sign":                   post(fmt.Sprintf("Content-Length: +%d\r\n", len(smuggled)), smuggled),
	"CL negative":                      post("Content-Length: -1\r\n", smuggled),
	"CL hexadecimal":                   post(fmt.Sprintf("Content-Length: 0x%x\r\n", len(smuggled)), smuggled),
	"CL with an underscore":            post("Content-Length: 3_5\r\n", smuggled),
	"CL empty":                         post("Content-Length:\r\n", smuggled),
	"CL beyond 63 bits":                post("Content-Length: 18446744073709551616\r\n", smuggled),
	"CL folded":                        post("Content-Length: 3\r\n 6\r\n", smuggled),
	"CL with a space before the colon": post(fmt.Sprintf("Content-Length : %d\r\n", len(smuggled)), smuggled),
	"CL with a letter in between":      post("Content-Length: 1a\r\n", smuggled),
	"header folded with a space":       post("X: y\r\n z\r\n", smuggled),
	"header folded with a tab":         post("X: y\r\n\tz\r\n", smuggled),
	"first header line folded":         "GET /a/ HTTP/1.1\r\n Host: x\r\n\r\n" + smuggled,
	"bare LF everywhere":               strings.ReplaceAll(post("", smuggled), "\r\n", "\n"),
	"bare LF at the header's end":      "GET /a/ HTTP/1.1\r\nHost: x\r\n\n" + smuggled,
	"bare LF in the request line":      "GET /a/ HTTP/1.1\nHost: x\r\n\r\n" + smuggled,
	"bare CR in a value":               post("X: a\rb\r\n", smuggled),
	"two CRs":                          post("X: a\r\r\n", smuggled),
	"NUL in a name":                    post("X\x00: a\r\n", smuggled),
	"no colon":                         post("X\r\n", smuggled),
	"no name":                          post(": x\r\n", smuggled),
	"two Hosts":                        post("Host: y\r\n", smuggled),
	"empty line first":                 "\r\n" + smuggled,
	"two spaces in the request line":   "GET  /a/ HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
	"space in the target":              "GET /a/ /b/ HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
	"tab in the request line":          "GET\t/a/ HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
	"HTTP/0.9":                         "GET /a/\r\n" + smuggled,
	"HTTP/1.2":                         "GET /a/ HTTP/1.2\r\nHost: x\r\n\r\n" + smuggled,
	"HTTP/1.10":                        "GET /a/ HTTP/1.10\r\nHost: x\r\n\r\n" + smuggled,
	"HTTP/2 by name":                   "GET /a/ HTTP/2.0\r\nHost: x\r\n\r\n" + smuggled,
	"HTTP/2 preface and then not":      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + smuggled,
	"HTTP/2 preface as the second":     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
	"chunk size beyond 64 bits":        post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n"+smuggled),
	"chunk with a sign":                post("Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"+smuggled),
	"chunk ended by a bare LF":         post("Transfer-Encoding: chunked\r\n", "0\n\n"+smuggled),
}

// TestSmuggling: each is refused, the connection ends, and the upstream sees none of it, also when it comes byte by byte.
func TestSmuggling(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	whole := b.server
	dripping, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bytewise := serveOn(t, drip{dripping}, newServer(b.handler))
	defer bytewise.end(t)
	for name, request := range smuggling {
		for how, server := range map[string]*testServer{"at once": whole, "byte by byte": bytewise} {
			b.server = server
			answer, closed := b.exchange(request)
			if name == "HTTP/2 preface as the second" {
				answer = strings.Replace(answer, "HTTP/1.1 200 OK\r\n", "", 1) // the health check before it
			}
			if !closed || strings.Contains(answer, " 200 ") || strings.Count(answer, "HTTP/1.1 ") > 1 {
				t.Errorf("%s, %s: closed is %v, answer %q", name, how, closed, answer)
			}
			noSecret(t, name, answer)
		}
	}
	b.server = whole
	for _, r := range u.requests() {
		if strings.Contains(r.RequestURI, "smuggled") || r.ContentLength > 0 {
			t.Errorf("the upstream saw %s %s", r.Method, r.RequestURI)
		}
	}
}

// TestConnectionsAreKept: what is refused above is not refused by closing everything.
func TestConnectionsAreKept(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	conn := sidecartest.Dial(t, b.server.Listener.Addr().String())
	answers := bufio.NewReader(conn)
	for i, request := range []string{
		"GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a/ HTTP/1.1\r\nHost: x\r\ncontent-length: \t 5 \r\n\r\nhello",
		"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: x\r\n\r\n", // pipelined
		"",
		"POST /a/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET /a/hidden HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(i, err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		b.whole(resp)
		if last := strings.Contains(request, "Chunked"); resp.Close != last {
			t.Errorf("request %d: the response closes the connection: %v; want %v", i, resp.Close, last)
		}
	}
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("after a chunked body: %q, %v; want the end of the connection", rest, err)
	}
	if seen := u.requests(); len(seen) != 5 {
		t.Errorf("the upstream saw %d requests; want 5, without the hidden one", len(seen))
	}
}

// TestConnectionFlood checks that a connection too many takes the place of the one that has waited longest, which is told so,
// and not of one that is being served.
func TestConnectionFlood(t *testing.T) {
	const most = 8
	asked := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			_ = http.NewResponseController(w).Flush()
			asked <- struct{}{}
			<-r.Context().Done()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.server.end(t)
	small := newServer(b.handler)
	small.http1.MaxConnections, small.http1.HeaderTimeout = most, patience
	b.server = newTestServer(t, small)
	served := b.converse()
	served.say("GET /a/wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	var waiting []*conversation
	for range most - 1 {
		c := b.converse()
		c.say("GET /a/ HTTP/1.1\r\n") // and no more
		waiting = append(waiting, c)
	}
	for i := range waiting {
		if resp := b.get("/a/"); resp.StatusCode != http.StatusOK {
			t.Fatalf("newcomer %d: %s", i, resp.Status)
		}
		b.until("the newcomer to leave", func() bool { return small.http1.Open() == most-1 })
		again := b.converse()
		again.say("GET /a/ HTTP/1.1\r\n")
		b.until("its place to be taken", func() bool { return small.http1.Open() == most })
	}
	for _, c := range waiting {
		if status, _, closes := c.hears("GET"); status != http.StatusServiceUnavailable || !closes {
			t.Errorf("one that made room: %d, closes is %v; want 503 and the end", status, closes)
		}
		c.hearsTheEnd()
	}
	if b.handler.open.Load() != 1 {
		t.Error("the stream that was being served has ended")
	}
}

// TestHTTP2ConnectionFlood: those without requests make room.
func TestHTTP2ConnectionFlood(t *testing.T) {
	b := newBench(t, nil)
	b.server.end(t)
	small := newServer(b.handler)
	small.http2.slots = make(chan struct{}, 2)
	b.server = newTestServer(t, small)
	for i := range 5 {
		client := clients(t)["HTTP/2.0"]
		resp, err := client.Get(b.server.URL + healthPath)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		if got := b.whole(resp); got.StatusCode != http.StatusOK {
			t.Errorf("client %d: %s", i, got.Status)
		}
	}
	small.http2.mu.Lock()
	defer small.http2.mu.Unlock()
	if len(small.http2.open) > cap(small.http2.slots) {
		t.Errorf("%d connections of HTTP/2 are open", len(small.http2.open))
	}
}
