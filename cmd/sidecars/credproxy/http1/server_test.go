package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

const patience = 10 * time.Second

// serve serves on loopback until the test ends.
func serve(t testing.TB, s *Server) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	prepare(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Cut()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := s.Wait(ctx); err != nil {
			t.Errorf("connections are left: %v", err)
		}
	})
	return listener.Addr().String()
}

// prepare sets what a test has no opinion on.
func prepare(s *Server) {
	s.Name, s.ErrorLog = "test", log.New(io.Discard, "", 0)
	s.HeaderTimeout, s.KeepAlive = patience, patience
	if s.Budget == nil {
		s.Budget = NewBudget(1 << 20)
	}
	if s.MaxConnections == 0 {
		s.MaxConnections = 100
	}
}

// dial connects, sends text, and returns what is answered.
func dial(t *testing.T, address, text string) *bufio.Reader {
	t.Helper()
	conn := sidecartest.Dial(t, address)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

// answer reads a whole response.
func answer(t *testing.T, from *bufio.Reader) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// TestCrowded checks that a client is answered when all connections are being served, and served when one of them waits.
func TestCrowded(t *testing.T) {
	const most = 4
	began, proceed := make(chan struct{}, 100), make(chan struct{})
	s := &Server{MaxConnections: most, Handler: func(w http.ResponseWriter, _ *http.Request, _ *Conn) {
		select {
		case began <- struct{}{}:
		default:
		}
		<-proceed
		_, _ = io.WriteString(w, "served")
	}}
	address := serve(t, s)
	var served []*bufio.Reader
	for range most {
		reader := dial(t, address, get)
		served = append(served, reader)
		<-began
	}
	for range 2 * most {
		reader := dial(t, address, get)
		if status, body := answer(t, reader); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "test: too many") {
			t.Errorf("too many: %d %q", status, body)
		}
		if _, err := reader.ReadByte(); err != io.EOF {
			t.Errorf("after the refusal: %v; want the end", err)
		}
	}
	close(proceed)
	if status, body := answer(t, served[0]); status != http.StatusOK || body != "served" {
		t.Errorf("%d %q", status, body)
	}
	// Its connection waits for a request now, or does so in a moment.
	for deadline := time.Now().Add(patience); ; {
		reader := dial(t, address, get)
		status, body := answer(t, reader)
		if status == http.StatusOK && body == "served" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %q; want to be served in the place of one that waits", status, body)
		}
	}
}

// TestHandedOver checks that what was read of a connection can be read again, and that it counts until it is closed.
func TestHandedOver(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"
	given := make(chan net.Conn)
	s := &Server{HTTP2: func(conn net.Conn) { given <- conn }}
	address := serve(t, s)
	reader := dial(t, address, preface)
	conn := <-given
	got := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != preface {
		t.Errorf("%q, %v", got, err)
	}
	if n := s.Open(); n != 1 {
		t.Errorf("%d connections are open; want the one that was handed over", n)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("after its end: %v", err)
	}
	if n := s.Open(); n != 0 {
		t.Errorf("%d connections are open after its end", n)
	}
}

// TestHTTP2Refused checks that the preface is refused where nobody serves HTTP/2.
func TestHTTP2Refused(t *testing.T) {
	address := serve(t, &Server{Handler: func(w http.ResponseWriter, _ *http.Request, c *Conn) {
		if c.Fault() != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}})
	reader := dial(t, address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if status, _ := answer(t, reader); status != http.StatusBadRequest {
		t.Errorf("%d; want 400", status)
	}
}
