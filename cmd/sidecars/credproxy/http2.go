package credproxy

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxHTTP2 bounds the connections on which HTTP/2 is spoken. With maxStreams on each there are no more requests than
	// maxExchanges.
	maxHTTP2 = maxExchanges / maxStreams
	// slotTimeout bounds how long an HTTP/2 client waits for the slot of another one.
	slotTimeout = 250 * time.Millisecond
)

// http2Server has net/http serve the connections on which HTTP/2 is spoken.
type http2Server struct {
	*http.Server
	conns *handover
	slots chan struct{} // a semaphore, of maxHTTP2

	mu   sync.Mutex
	open map[*http2Conn]struct{}
}

// http2Conn is a connection on which HTTP/2 is spoken.
type http2Conn struct {
	net.Conn
	since    time.Time
	requests atomic.Int64 // that are open

	evicted bool // guarded by the server's mu
}

// http2ConnKey is the key of the connection in the context of an HTTP/2 request.
type http2ConnKey struct{}

// newHTTP2Server limits what a client holds before it is answered; watch limits the rest. HTTP/2 needs prior knowledge (no
// Upgrade): it is for clients that stream both ways.
func newHTTP2Server(h *handler) *http2Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	s := &http2Server{conns: newHandover(), slots: make(chan struct{}, maxHTTP2), open: map[*http2Conn]struct{}{}}
	s.Server = &http.Server{
		ConnState: s.follow,
		Handler:   h,
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerConnection: receivedBuffer, MaxReceiveBufferPerStream: receivedBuffer,
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, http2ConnKey{}, conn)
		},
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  keepAlive,
		MaxHeaderBytes:               maxHTTP2Header,
		ErrorLog:                     h.errorLog,
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused like everything that is no route
	}
	return s
}

// serve serves the connections that are taken, until the server is stopped.
func (s *http2Server) serve(addr net.Addr) error {
	s.conns.addr.Store(&addr)
	return s.Serve(s.conns)
}

// take serves a connection, if there is a slot for it.
func (s *http2Server) take(conn net.Conn) {
	if !s.acquire() {
		_, _ = conn.Write(calmDown) // a few bytes, which fit the kernel's buffer
		_ = conn.Close()
		return
	}
	taken := &http2Conn{Conn: conn, since: time.Now()}
	s.mu.Lock()
	s.open[taken] = struct{}{}
	s.mu.Unlock()
	if !s.conns.give(taken) {
		_ = conn.Close()
		s.follow(taken, http.StateClosed)
	}
}

// acquire takes a slot. If there is none, it evicts a connection, whose slot is free when net/http has released it, and its
// memory.
func (s *http2Server) acquire() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	if !s.evict() {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-time.After(slotTimeout):
		return false
	}
}

// follow is net/http's ConnState.
func (s *http2Server) follow(conn net.Conn, state http.ConnState) {
	taken, ok := conn.(*http2Conn)
	if !ok || state != http.StateClosed {
		return
	}
	s.mu.Lock()
	delete(s.open, taken)
	s.mu.Unlock()
	<-s.slots
}

// evict closes the oldest connection that has no requests.
func (s *http2Server) evict() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *http2Conn
	for conn := range s.open {
		if !conn.evicted && conn.requests.Load() == 0 && (oldest == nil || conn.since.Before(oldest.since)) {
			oldest = conn
		}
	}
	if oldest == nil {
		return false
	}
	oldest.evicted = true
	_ = oldest.Close() // which net/http notices
	return true
}

// calmDown refuses an HTTP/2 client without a place: empty SETTINGS, and GOAWAY with ENHANCE_YOUR_CALM.
var calmDown = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11}

// handover is the listener of the connections on which HTTP/2 is spoken.
type handover struct {
	addr   atomic.Pointer[net.Addr]
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newHandover() *handover {
	h := &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.close()
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return *h.addr.Load() }

// give hands a connection over, unless the listener is closed.
func (h *handover) give(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
		return false
	}
}
