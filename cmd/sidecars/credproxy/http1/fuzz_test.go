package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// memoryConn is a connection whose peer has sent all that it will, and reads everything.
type memoryConn struct {
	net.Conn // nil: what is not below is not used
	in       io.Reader
	out      bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// pieces reads at most a number of bytes at once.
type pieces struct {
	io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), max(p.size, 1))]) }

// FuzzRequests serves what a client sends, and checks that every request that the handler sees has one whole response, and
// that nothing else is sent but one refusal at the end.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		get + get, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + get,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + get, "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get,
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "GET / HTTP/1.1\nHost: x\n\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET /\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(5), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8, chunked bool) {
		var served []*http.Request
		s := &Server{Handler: func(w http.ResponseWriter, r *http.Request, c *Conn) {
			served = append(served, r)
			body, _ := io.ReadAll(r.Body) // how much of it came does not matter
			if !chunked {
				w.Header()["Content-Length"] = []string{"4"}
			}
			w.Header()["X"] = []string{"a\r\nInjected: b", string(body)}
			_, _ = io.WriteString(w, "text")
		}}
		prepare(s)
		s.init()
		conn := &memoryConn{in: &pieces{bytes.NewReader(data), int(size)}}
		c := newConn(s, &guardedConn{Conn: conn, used: true})
		if admitted, _ := s.admit(c); !admitted {
			t.Fatal("not admitted")
		}
		c.serve()
		checkResponses(t, bufio.NewReader(&conn.out), served)
		if n := s.Open(); n != 0 || s.Budget.Used() != 0 {
			t.Errorf("%d connections are open, %d bytes taken", n, s.Budget.Used())
		}
	})
}

func checkResponses(t *testing.T, sent *bufio.Reader, served []*http.Request) {
	t.Helper()
	for i := 0; ; i++ {
		if _, err := sent.Peek(1); err == io.EOF {
			if i < len(served) {
				t.Errorf("%d responses to %d requests", i, len(served))
			}
			return
		}
		var request *http.Request
		if i < len(served) {
			request = served[i]
		}
		resp, err := http.ReadResponse(sent, request)
		for err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(sent, request)
		}
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			t.Fatalf("response %d: %v", i, err)
		case resp.Header["Injected"] != nil:
			t.Fatalf("response %d: a value became a field: %q", i, resp.Header)
		case request == nil && (resp.StatusCode < http.StatusBadRequest || i > len(served) || !resp.Close):
			t.Fatalf("response %d to %d requests: %s", i, len(served), resp.Status)
		case request != nil && (resp.StatusCode != http.StatusOK || request.Method != http.MethodHead && string(body) != "text"):
			t.Fatalf("response %d: %s %q", i, resp.Status, body)
		}
	}
}

func newTestPool() *Pool {
	return NewPool(PoolOptions{
		MaxIdle: 1, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, Budget: NewBudget(1 << 20), Shared: &IdleLimit{Max: 1},
	})
}

func newRequest(method string, body *Body) *http.Request {
	r := &http.Request{Method: method, URL: &url.URL{Scheme: "https", Host: "x", Path: "/"}, Host: "x", Header: http.Header{}}
	if body != nil {
		r.Body, r.ContentLength = body, body.length
	}
	return r
}

// FuzzResponses reads what an upstream sends, and checks that it is what net/http reads, and that a connection with a
// response that is incomplete, or with more than one, is not kept.
func FuzzResponses(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nrest",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok", "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		pool, x := newTestPool(), &Exchange{}
		defer pool.Close()
		rest := &pieces{bytes.NewReader(data), int(size)}
		conn := pool.NewConn(&memoryConn{in: rest}, nil)
		resp, err := conn.RoundTrip(x, newRequest(http.MethodGet, nil))
		if err != nil {
			if len(pool.idle) > 0 {
				t.Errorf("a connection is kept after %v", err)
			}
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		reader := bufio.NewReaderSize(bytes.NewReader(data), len(data)+16)
		want, wantErr := http.ReadResponse(reader, nil)
		for wantErr == nil && want.StatusCode >= 100 && want.StatusCode < 200 && want.StatusCode != http.StatusSwitchingProtocols {
			want, wantErr = http.ReadResponse(reader, nil)
		}
		if wantErr != nil || resp.StatusCode != want.StatusCode {
			t.Fatalf("%d; net/http has %v, %v", resp.StatusCode, want, wantErr)
		}
		wantBody, wantErr := io.ReadAll(want.Body)
		if !bytes.Equal(body, wantBody) || (err == nil) != (wantErr == nil) {
			t.Errorf("%q, %v; net/http has %q, %v", body, err, wantBody, wantErr)
		}
		if kept := len(pool.idle) > 0; kept && (wantErr != nil || want.Close || conn.reader.Buffered() > 0) {
			t.Errorf("kept after %v, close %v, with %d bytes more", wantErr, want.Close, conn.reader.Buffered())
		}
	})
}

// FuzzUploads sends a body of unknown length, with a header that a client chose, and checks that the upstream reads one
// request with that body and no further header field.
func FuzzUploads(f *testing.F) {
	f.Add([]byte("some body"), uint8(4), "X-Name", "value")
	f.Add(bytes.Repeat([]byte("0\r\n\r\n"), 3), uint8(0), "X", "a\r\nInjected: b")
	f.Add([]byte{}, uint8(1), "Transfer-Encoding\r\nInjected", "identity")
	f.Fuzz(func(t *testing.T, data []byte, size uint8, name, value string) {
		pool, x := newTestPool(), &Exchange{}
		defer pool.Close()
		step := int(size)
		if step == 0 {
			step = 1 << 20
		}
		in := &http.Request{Body: io.NopCloser(&pieces{bytes.NewReader(data), step}), ContentLength: -1}
		request := newRequest(http.MethodPost, NewBody(in, int64(len(data)), x))
		request.Header[name] = []string{value}
		upstream := &memoryConn{in: &bytes.Buffer{}}
		conn := pool.NewConn(upstream, nil)
		up := conn.send(request)
		<-up.ended
		reader := bufio.NewReader(&upstream.out)
		got, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatalf("%q: %v", upstream.out.String(), err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(body, data) || !up.sent || !up.complete(conn) {
			t.Errorf("%d of %d bytes, %v", len(body), len(data), err)
		}
		if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
			t.Error("something follows the request")
		}
		if len(got.Header) > 1 || got.Header["Injected"] != nil {
			t.Errorf("header %q", got.Header)
		}
	})
}
