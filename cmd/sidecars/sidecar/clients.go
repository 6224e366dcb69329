package sidecar

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
)

// Memory cost of a header. net/http needs far more than the text, and the more, the shorter the lines are (measured: 100 bytes a line, a
// megabyte for 64 KiB); a proxy's copies double that.
const (
	costOfByte = 3
	costOfLine = 256
	// freeCost of each connection's header is not charged to the budget, so that clients with ordinary headers are served even if others
	// exhaust it.
	freeCost = 12 << 10
)

const (
	graceTime = 2 * time.Second // see Clients.Grace
	// acceptPause is the poll interval of a connection that waits for a slot.
	acceptPause = 50 * time.Millisecond
	// lingerTime is how long a client may take to read its last answer, and maxLingering the number of clients that are given that time.
	lingerTime   = 500 * time.Millisecond
	maxLingering = 512
)

var overLimit = func() string {
	const text = "too many connections, or too much in their headers; try again\n"
	return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nConnection: close\r\n" +
		"Content-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + text
}()

// errOverLimit looks to net/http like a connection that broke: it writes no answer of its own.
var errOverLimit error = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the client is over a limit and was refused")}

// Clients limits the memory that the clients of an http.Server take before their requests are handled. Clients beyond the limits get 503.
// Listen and Track are for one server.
//
// Connections that wait for a request, or for the rest of its header, are evicted when others need their slot or their share of the
// budget, the longest-waiting first: idle and slow clients lock nobody out. A new connection waits for a slot until one has waited for
// Grace. An evicted client that was not served before gets 503, so that it can repeat a request that was late, as on a busy machine.
// Connections over loopback (the health check) need no slot.
type Clients struct {
	// Grace is how long a connection may wait before it can be evicted: a busy machine is slow to read. Default 2 s.
	Grace time.Duration

	limit     int                 // on connections that are not hijacked
	headers   *semaphore.Weighted // cost of the headers that are being read, and of those of requests in progress
	lingering chan struct{}
	exempt    func(net.Addr) bool
	log       zerolog.Logger
	refused   logCounter

	mu      sync.Mutex
	open    int
	waiting list.List // of *clientConn, the longest-waiting first
}

// NewClients returns limits on the number of connections, and on the cost of all headers in bytes.
func NewClients(conns int, headerBytes int64, log zerolog.Logger) *Clients {
	return &Clients{
		limit: conns, headers: semaphore.NewWeighted(headerBytes), Grace: graceTime, lingering: make(chan struct{}, maxLingering), log: log,
		exempt: func(addr net.Addr) bool { return addressOf(addr).IsLoopback() },
	}
}

// Listen wraps the server's listener.
func (c *Clients) Listen(l net.Listener) net.Listener { return &boundedListener{l, c} }

type boundedListener struct {
	net.Listener
	clients *Clients
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &clientConn{Conn: conn, clients: l.clients, exempt: l.clients.exempt(conn.RemoteAddr())}
		if l.clients.admit(c) { // further connections wait in the kernel's queue
			return c, nil
		}
		go func() { _ = c.Close() }()
	}
}

// Readmit makes a hijacked connection an ordinary one again, which waits for a request. ahead is what was read from it and is part of that
// request. It blocks until there is a slot, and fails if there will be none: closing the connection then answers 503. The handler that has
// hijacked the connection must end at once, since its request's header is no longer charged.
func (c *Clients) Readmit(conn net.Conn, ahead []byte) error {
	known, ok := conn.(*clientConn)
	if !ok {
		return fmt.Errorf("a %T is not a connection of this listener", conn)
	}
	known.ahead = ahead
	if !c.admit(known) {
		return errOverLimit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known.releaseShare()
	known.served = false
	return nil
}

// admit waits for a slot. It returns false if there will be none.
func (c *Clients) admit(conn *clientConn) bool {
	conn.reading.Store(true)
	wait := c.add(conn)
	for ; wait > 0; wait = c.add(conn) {
		time.Sleep(min(wait, acceptPause))
	}
	return wait == 0
}

// never is the wait for a slot if all connections have requests in progress.
const never time.Duration = -1

// add admits a connection, or returns how long to wait until there may be a slot.
func (c *Clients) add(conn *clientConn) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.exempt {
		return 0
	}
	if c.open >= c.limit && !c.evict(func(*clientConn) bool { return true }) {
		oldest, ok := c.oldest()
		if !ok {
			conn.over = true
			return never
		}
		return max(c.Grace-time.Since(oldest.since), time.Millisecond)
	}
	c.open++
	conn.counted = true
	conn.startWaiting()
	return 0
}

func (c *Clients) oldest() (*clientConn, bool) {
	if c.waiting.Len() == 0 {
		return nil, false
	}
	conn, ok := c.waiting.Front().Value.(*clientConn)
	return conn, ok
}

// evict evicts the longest-waiting connection for which wanted returns true: its reads fail from now on. It requires c.mu.
func (c *Clients) evict(wanted func(*clientConn) bool) bool {
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		conn := e.Value.(*clientConn) //nolint:forcetypeassert // only add and Track put something in
		if time.Since(conn.since) < c.Grace {
			return false
		}
		if !wanted(conn) {
			continue
		}
		conn.ended.Store(true)
		conn.over = conn.cost > 0 || !conn.served // a client that keeps its connection for the next request expects its end
		conn.releaseShare()
		conn.unregister()
		_ = conn.Conn.SetReadDeadline(time.Unix(1, 0)) // it fails only if the connection is closed
		return true
	}
	return false
}

// Track is the ConnState hook of the server.
func (c *Clients) Track(conn net.Conn, state http.ConnState) {
	bounded, ok := conn.(*clientConn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateActive: // the header was read
		bounded.reading.Store(false)
		bounded.stopWaiting()
	case http.StateIdle:
		bounded.releaseShare()
		bounded.served = true
		bounded.reading.Store(true)
		if bounded.counted {
			bounded.startWaiting()
		}
	case http.StateHijacked: // the request and its header stay in memory until the connection is closed
		bounded.reading.Store(false)
		bounded.unregister()
	case http.StateNew, http.StateClosed:
	}
}

// clientConn charges the headers that are read from it.
type clientConn struct {
	net.Conn
	clients *Clients
	exempt  bool
	reading atomic.Bool // it waits for a header or reads one
	ended   atomic.Bool // evicted or refused: only the refusal is still written
	ahead   []byte      // read from the connection before it was readmitted

	// Guarded by clients.mu.
	counted bool          // among clients.open
	place   *list.Element // in clients.waiting; nil if it does not wait
	since   time.Time     // when it began to wait
	served  bool          // it has had a request
	over    bool          // it is answered with a refusal before it is closed
	cost    int64         // of the header that is being read
	taken   int64         // share of the budget for that header
}

// Read implements net.Conn.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.readAhead(p)
	if c.ended.Load() || c.reading.Load() && !c.charge(p[:n]) {
		return 0, errOverLimit
	}
	return n, err
}

func (c *clientConn) readAhead(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}

// Write implements net.Conn. It drops net/http's answer to a header that eviction has cut off.
func (c *clientConn) Write(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, errOverLimit
	}
	return c.Conn.Write(p)
}

// charge charges data to the budget and reports whether the connection may continue.
func (c *clientConn) charge(data []byte) bool {
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.cost == 0 && len(data) > 0 && c.place != nil {
		c.stopWaiting() // for a request; from now on for the rest of it
		c.startWaiting()
	}
	c.cost += costOfByte*int64(len(data)) + costOfLine*int64(bytes.Count(data, []byte{'\n'}))
	more := c.cost - freeCost - c.taken
	if more <= 0 {
		return true
	}
	for !c.clients.headers.TryAcquire(more) {
		if !c.clients.evict(func(other *clientConn) bool { return other.taken > 0 && other != c }) {
			c.ended.Store(true)
			c.over = true
			return false
		}
	}
	c.taken += more
	return true
}

// refuse answers 503.
func (c *clientConn) refuse() {
	if n, due := c.clients.refused.add(); due {
		c.clients.log.Warn().Str("event", "overload").Int("refused", n).Msg("refused clients: too many connections, or headers too large in all")
	}
	c.clients.Finish(c.Conn, overLimit)
}

// Finish writes the last answer on a connection and lingers: closing a connection with unread data would reset it, and the client would
// lose the answer. The caller closes the connection.
func (c *Clients) Finish(conn net.Conn, answer string) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || conn.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if _, err := io.WriteString(conn, answer); err != nil || half.CloseWrite() != nil {
		return
	}
	select {
	case c.lingering <- struct{}{}:
		_, _ = io.Copy(io.Discard, conn) // until the client ends or the time is up
		<-c.lingering
	default:
	}
}

// SetReadDeadline implements net.Conn.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.ended.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite half-closes the connection.
func (c *clientConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close implements net.Conn. It answers a refused client, whose header is no longer in memory by now.
func (c *clientConn) Close() error {
	c.clients.mu.Lock()
	c.releaseShare()
	c.unregister()
	over := c.over
	c.over = false
	c.clients.mu.Unlock()
	if over {
		c.refuse()
	}
	return c.Conn.Close()
}

// The following methods require clients.mu.

func (c *clientConn) releaseShare() {
	if c.taken > 0 {
		c.clients.headers.Release(c.taken)
	}
	c.cost, c.taken = 0, 0
}

func (c *clientConn) startWaiting() {
	c.since, c.place = time.Now(), c.clients.waiting.PushBack(c)
}

func (c *clientConn) stopWaiting() {
	if c.place != nil {
		c.clients.waiting.Remove(c.place)
		c.place = nil
	}
}

func (c *clientConn) unregister() {
	c.stopWaiting()
	if c.counted {
		c.counted = false
		c.clients.open--
	}
}
