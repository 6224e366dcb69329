package credproxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxConnections bounds the clients' connections. For one more the one that has waited longest is closed.
	maxConnections = 4096
	// maxHTTP2 bounds those on which HTTP/2 is spoken. With maxStreams on each there are no more requests than maxExchanges.
	maxHTTP2 = maxExchanges / maxStreams
	// placeTimeout is how long an HTTP/2 client waits for the place of another one.
	placeTimeout = 250 * time.Millisecond
	// evictionSample is how many are compared to find one that has waited for long.
	evictionSample = 64
	// acceptPause is how long a server that has run out of files or memory waits for some to come back.
	acceptPause = 50 * time.Millisecond
	// endTime is how long exchanges that were cut off may take to end, so that their ends are audited.
	endTime = time.Second
)

// server serves HTTP/1 with one goroutine a connection, and lets net/http serve HTTP/2. Both ask the same handler. It
// is meant for a listener with a guard.
type server struct {
	handler *handler
	http2   *http.Server
	taken   *handover
	// How long a client may take to send a header, and to send nothing between two requests.
	headerTimeout, keepAlive time.Duration
	maxConnections           int

	mu       sync.Mutex
	listener net.Listener
	clients  map[*client]struct{}
	http2s   map[*readConn]struct{}

	http2Places chan struct{} // as many as there may be of http2s
	stopping    bool
	emptied     chan struct{} // closed when there is no client any more and none will come
}

func newServer(h *handler) *server {
	s := &server{
		handler: h, http2: newHTTP2Server(h), taken: newHandover(), headerTimeout: headerTimeout, keepAlive: keepAlive,
		maxConnections: maxConnections, http2Places: make(chan struct{}, maxHTTP2),
		clients: map[*client]struct{}{}, http2s: map[*readConn]struct{}{}, emptied: make(chan struct{}),
	}
	s.http2.ConnState = s.followHTTP2
	return s
}

// newHTTP2Server bounds what a client can hold without having been answered; watch bounds the rest. HTTP/2 is for
// clients that know that it is spoken here (no Upgrade): those that stream both ways.
func newHTTP2Server(h *handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
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
}

// Serve implements sidecar.Server.
func (s *server) Serve(listener net.Listener) error {
	s.mu.Lock()
	s.listener = listener
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		return errors.Join(http.ErrServerClosed, listener.Close())
	}
	s.taken.addr = listener.Addr()
	http2 := make(chan error, 1)
	go func() { http2 <- s.http2.Serve(s.taken) }()
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			s.serve(conn)
		case s.isStopping():
			return <-http2
		case isShortage(err):
			s.handler.errorLog.Print("accept: ", err)
			time.Sleep(acceptPause)
		default:
			return err
		}
	}
}

// isShortage tells whether an error of accept may pass.
func isShortage(err error) bool {
	for _, passing := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func (s *server) serve(conn net.Conn) {
	guarded, ok := conn.(*guardedConn)
	if !ok {
		s.handler.errorLog.Print("a connection that is not checked was closed") // a mistake in wiring; never without
		_ = conn.Close()
		return
	}
	c := newClient(s, guarded)
	if !s.enter(c) {
		_ = guarded.Close()
		return
	}
	go c.serve()
}

// enter puts a client on the list, unless there are too many, none of which can make room, or the server is stopping.
func (s *server) enter(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || len(s.clients)+len(s.http2s) >= s.maxConnections && !s.evict() {
		return false
	}
	s.clients[c] = struct{}{}
	return true
}

// evict makes room by closing the connection of a client that has waited for long. The order of a map is random.
func (s *server) evict() bool {
	var oldest *client
	seen := 0
	for c := range s.clients {
		if state := c.state.Load(); state != clientWaits && state != clientFinishes {
			continue
		}
		if oldest == nil || c.since.Load() < oldest.since.Load() {
			oldest = c
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	if oldest == nil || !oldest.evict() {
		return false
	}
	delete(s.clients, oldest)
	return true
}

// giveHTTP2 lets net/http serve a connection. If there are too many of them, one without requests makes room.
func (s *server) giveHTTP2(conn *guardedConn, read *bufio.Reader) {
	given := &readConn{Conn: conn, read: read, since: time.Now()}
	if !s.placeHTTP2() {
		_, _ = conn.Write(calmDown) // a few bytes, which fit the kernel's buffer
		_ = conn.Close()
		return
	}
	s.mu.Lock()
	s.http2s[given] = struct{}{}
	s.mu.Unlock()
	if !s.taken.give(given) {
		_ = conn.Close()
		s.followHTTP2(given, http.StateClosed)
	}
}

// placeHTTP2 takes a place. One that is made is free when net/http has let the connection go, and its memory.
func (s *server) placeHTTP2() bool {
	select {
	case s.http2Places <- struct{}{}:
		return true
	default:
	}
	if !s.evictHTTP2() {
		return false
	}
	select {
	case s.http2Places <- struct{}{}:
		return true
	case <-time.After(placeTimeout):
		return false
	}
}

// followHTTP2 is net/http's ConnState.
func (s *server) followHTTP2(conn net.Conn, state http.ConnState) {
	given, ok := conn.(*readConn)
	if !ok || state != http.StateClosed {
		return
	}
	s.mu.Lock()
	delete(s.http2s, given)
	s.mu.Unlock()
	<-s.http2Places
}

// evictHTTP2 closes the oldest connection that has no requests.
func (s *server) evictHTTP2() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *readConn
	for conn := range s.http2s {
		if !conn.evicted && conn.open.Load() == 0 && (oldest == nil || conn.since.Before(oldest.since)) {
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

// forget takes a client off the list, which is served no longer, or by net/http.
func (s *server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.checkEmpty()
}

func (s *server) checkEmpty() {
	if !s.stopping || len(s.clients) > 0 {
		return
	}
	select {
	case <-s.emptied:
	default:
		close(s.emptied)
	}
}

func (s *server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// stop closes the listener, and the connections that are chosen.
func (s *server) stop(chosen func(*client) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.clients {
		if chosen(c) {
			_ = c.Close() // which its goroutine notices
		}
	}
	s.checkEmpty()
}

// Shutdown implements sidecar.Server: it waits until what was begun has ended, but not longer than ctx.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop(func(c *client) bool { return c.state.Load() == clientWaits })
	err := s.http2.Shutdown(ctx)
	if err == nil {
		err = s.wait(ctx)
	}
	s.handler.audit.flush()
	return err
}

func (s *server) wait(ctx context.Context) error {
	select {
	case <-s.emptied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements sidecar.Server. What is open is cut off, and its end is audited.
func (s *server) Close() error {
	s.handler.watch.endAll(errStopping)
	s.stop(func(*client) bool { return true })
	err := s.http2.Close()
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if s.handler.drained(ctx) != nil || s.wait(ctx) != nil {
		s.handler.errorLog.Print("some requests have not ended in time, and are not on record as ended")
	}
	s.handler.audit.flush()
	return err
}

// handover is the listener of the connections on which HTTP/2 is spoken.
type handover struct {
	addr   net.Addr
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
func (h *handover) Addr() net.Addr { return h.addr }

// give hands a connection over, unless the listener is closed.
func (h *handover) give(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
		return false
	}
}

// http2ConnKey is where the context of an HTTP/2 request has its connection.
type http2ConnKey struct{}

// readConn is a connection of which some has been read.
type readConn struct {
	net.Conn
	read  *bufio.Reader // nil when all of that was read again
	since time.Time
	open  atomic.Int64 // requests

	evicted bool // guarded by the server's mu
}

// Read implements net.Conn.
func (c *readConn) Read(p []byte) (int, error) {
	if c.read != nil && c.read.Buffered() > 0 {
		return c.read.Read(p[:min(len(p), c.read.Buffered())])
	}
	c.read = nil
	return c.Conn.Read(p)
}
