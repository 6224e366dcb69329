package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// MaxHeaderBytes bounds a request's header.
	MaxHeaderBytes = 32 << 10
	// evictionSample is how many waiting connections are compared to find one that has waited for long.
	evictionSample = 64
	// acceptPause is the pause after the process has run out of files or memory.
	acceptPause = 50 * time.Millisecond
	// maxRefusing bounds the connections that are being refused for want of a place: a goroutine each, for lingerTime.
	maxRefusing = 256
)

// Server serves HTTP/1 with one goroutine a connection.
type Server struct {
	// Handler serves a request. It must refuse one whose connection has a Fault: so it can put that on record. It may panic with
	// http.ErrAbortHandler to cut the response short. The writer has the methods that http.ResponseController uses.
	Handler func(http.ResponseWriter, *http.Request, *Conn)
	// HTTP2 takes over a connection that begins with the preface of HTTP/2, which can be read again, and closes it. If it is nil
	// such connections are refused.
	HTTP2 func(net.Conn)
	// Name begins the text of refusals.
	Name     string
	Budget   *Budget
	ErrorLog *log.Logger
	// HeaderTimeout bounds how long a client takes to send a header, and KeepAlive how long it is silent between two requests.
	HeaderTimeout, KeepAlive time.Duration
	// MaxConnections bounds the connections, including those that were handed over to HTTP2. To make room for a new one, one
	// that has waited long is closed; if none waits, the new one is. Whoever was not served before is answered 503.
	MaxConnections int

	mu       sync.Mutex
	listener net.Listener
	conns    map[*Conn]struct{}
	stopping bool
	emptied  chan struct{} // closed when there is no connection any more and none will come
	refusing chan struct{} // a semaphore, of maxRefusing
}

// init prepares the unexported fields. It needs s.mu.
func (s *Server) init() {
	if s.conns == nil {
		s.conns, s.emptied, s.refusing = map[*Conn]struct{}{}, make(chan struct{}), make(chan struct{}, maxRefusing)
	}
}

// Serve accepts connections until the listener fails, or Shutdown or Close is called, when it returns http.ErrServerClosed.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	s.init()
	s.listener = listener
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		return errors.Join(http.ErrServerClosed, listener.Close())
	}
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			s.serve(conn)
		case s.isStopping():
			return http.ErrServerClosed
		case isShortage(err):
			s.ErrorLog.Print("accept: ", err)
			time.Sleep(acceptPause)
		default:
			return err
		}
	}
}

// isShortage reports whether an error of accept is temporary.
func isShortage(err error) bool {
	for _, passing := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func (s *Server) serve(conn net.Conn) {
	c := newConn(s, &guardedConn{Conn: conn, used: s.HTTP2 == nil})
	switch admitted, stopping := s.admit(c); {
	case admitted:
		go c.serve()
	case stopping:
		_ = conn.Close()
	default:
		go s.refuse(conn)
	}
}

// admit adds a connection, unless the server is stopping, or there are too many and none makes room.
func (s *Server) admit(c *Conn) (admitted, stopping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || len(s.conns) >= s.MaxConnections && !s.evict() {
		return false, s.stopping
	}
	s.conns[c] = struct{}{}
	return true, false
}

// evict makes room by closing a connection that has waited long: the one that has waited longest of a sample, since the
// order of a map is random. One that begins to be served in that moment is left alone, and another one taken.
func (s *Server) evict() bool {
	var oldest *Conn
	seen := 0
	for c := range s.conns {
		if !c.isEvictable() {
			continue
		}
		if oldest == nil || c.since.Load() < oldest.since.Load() {
			oldest = c
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	if oldest == nil {
		return false
	}
	if oldest.evict() {
		delete(s.conns, oldest)
		return true
	}
	for c := range s.conns {
		if c.evict() {
			delete(s.conns, c)
			return true
		}
	}
	return false
}

// refuse answers a client for which there is no place, and closes its connection.
func (s *Server) refuse(conn net.Conn) {
	defer conn.Close()
	select {
	case s.refusing <- struct{}{}:
		defer func() { <-s.refusing }()
		s.answerCrowded(conn)
	default: // so many come that some are not answered
	}
}

// answerCrowded answers without parsing the request. It reads for a moment, since closing a connection with unread data
// would discard the answer.
func (s *Server) answerCrowded(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	body := s.Name + ": too many requests are open, on too many connections\n"
	_, err := io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	half, ok := conn.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		return
	}
	buffer := s.Budget.Buffer()
	defer buffer.Put()
	_, _ = io.CopyBuffer(discard{}, conn, buffer.Bytes) // until the client closes, or the deadline
}

// discard is io.Discard without ReadFrom, which would take a larger buffer.
type discard struct{}

// Write implements io.Writer.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// forget removes a connection that has ended.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkEmpty()
}

func (s *Server) checkEmpty() {
	if !s.stopping || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.emptied:
	default:
		close(s.emptied)
	}
}

// Open returns the number of open connections, including those that were handed over.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// stop closes the listener, and the connections that are chosen.
func (s *Server) stop(chosen func(*Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	s.stopping = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		if chosen(c) {
			_ = c.Close() // which its goroutine notices
		}
	}
	s.checkEmpty()
}

// Stop closes the listener and the connections that wait for a request. The others end with their response.
func (s *Server) Stop() {
	s.stop(func(c *Conn) bool { return c.state.Load() == connWaits })
}

// Cut closes the listener and all connections.
func (s *Server) Cut() {
	s.stop(func(*Conn) bool { return true })
}

// Wait returns when, after Stop or Cut, no connection is left, or when ctx ends.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-s.emptied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handedConn is a connection that was handed over, with the data that was read of it.
type handedConn struct {
	net.Conn
	read   *bufio.Reader // nil when all of that was read again
	forget func()
}

// Read implements net.Conn.
func (c *handedConn) Read(p []byte) (int, error) {
	if c.read != nil && c.read.Buffered() > 0 {
		return c.read.Read(p[:min(len(p), c.read.Buffered())])
	}
	c.read = nil
	return c.Conn.Read(p)
}

// Close implements net.Conn.
func (c *handedConn) Close() error {
	defer c.forget()
	return c.Conn.Close()
}
