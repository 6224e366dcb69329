package sidecar

import (
	"bytes"
	"container/list"
	"errors"
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

// What a header costs in memory. net/http makes far more of it than its text, the more so the shorter its lines are
// (measured: 100 bytes a line, a megabyte of 64 KiB), and a proxy's copies make it twice as much.
const (
	costOfByte = 3
	costOfLine = 256
	// freeCost is what each connection's header may cost without a share of the budget: so a client with an ordinary header
	// is served however many others fill the budget.
	freeCost = 12 << 10
)

const (
	graceTime = 2 * time.Second // see Clients.Grace
	// acceptPause is how often a connection that waits for a place looks for one.
	acceptPause = 50 * time.Millisecond
	// lingerTime is how long a refused client may take to read its answer, and maxLingering how many may at once.
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

// Clients bounds the memory that the clients of an http.Server take before their requests are handled. Who is over gets
// 503. Listen and Track are for one server.
//
// A connection that waits for a request, or whose request's header has not come in full, is closed when another needs its
// place or its share, the one first that has waited longest: who does nothing, or sends slowly, keeps nobody out. For a
// place, a new connection waits until there is one that has had its Grace. Whoever was not served before gets 503: a client
// whose request was late, as on a busy machine, can repeat it.
// Connections over loopback (the health check) need no place.
type Clients struct {
	// Grace is how long every connection may wait, whoever needs its place: a busy machine serves late. Default 2 s.
	Grace time.Duration

	limit     int                 // of connections, without those that were hijacked
	headers   *semaphore.Weighted // what those cost that are being read, and those of requests under way
	lingering chan struct{}
	exempt    func(net.Addr) bool
	log       zerolog.Logger
	refused   tally

	mu      sync.Mutex
	open    int
	waiting list.List // of *clientConn; the longest first
}

// NewClients bounds the connections, and what all headers cost in bytes.
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
		c.reading.Store(true)
		wait := l.clients.add(c)
		for ; wait > 0; wait = l.clients.add(c) {
			time.Sleep(min(wait, acceptPause)) // others are in the kernel's queue meanwhile
		}
		if wait == 0 {
			return c, nil
		}
		go func() { _ = c.Close() }()
	}
}

// never is how long to wait for a place when requests of all other connections are being handled.
const never time.Duration = -1

// add makes room for a connection, or returns how long it is until there may be some.
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

// evict ends the connection that has waited longest of those that are wanted: its reads fail from now on. It needs c.mu.
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
		conn.giveBack()
		conn.leave()
		_ = conn.Conn.SetReadDeadline(time.Unix(1, 0)) // it fails when the connection is closed, which is as good
		return true
	}
	return false
}

// Track is the server's ConnState.
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
		bounded.giveBack()
		bounded.served = true
		bounded.reading.Store(true)
		if bounded.counted {
			bounded.startWaiting()
		}
	case http.StateHijacked: // the request, and so its header, is kept until the connection is closed
		bounded.reading.Store(false)
		bounded.leave()
	case http.StateNew, http.StateClosed:
	}
}

// clientConn counts what is read of it while a header comes.
type clientConn struct {
	net.Conn
	clients *Clients
	exempt  bool
	reading atomic.Bool // a header, or nothing yet
	ended   atomic.Bool // evicted or refused: nothing more is read or written but the refusal

	// Guarded by clients.mu.
	counted bool          // among clients.open
	place   *list.Element // in clients.waiting
	since   time.Time     // it waits
	served  bool          // it has had a request
	over    bool          // its end is a refusal
	cost    int64         // of the header that is being read
	taken   int64         // for it, of the budget
}

// Read implements net.Conn.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.ended.Load() || c.reading.Load() && !c.charge(p[:n]) {
		return 0, errOverLimit
	}
	return n, err
}

// Write implements net.Conn. net/http takes a line that is cut off by an error for all of it, and would answer that.
func (c *clientConn) Write(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, errOverLimit
	}
	return c.Conn.Write(p)
}

// charge takes what the header costs so far, and says whether the connection may go on.
func (c *clientConn) charge(data []byte) bool {
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.cost == 0 && len(data) > 0 && c.place != nil {
		c.stopWaiting() // for a request; now it is for the rest of it
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

// refuse answers, and waits a moment for the client to read it: what is not read when a connection is closed resets it.
func (c *clientConn) refuse() {
	if n, due := c.clients.refused.add(); due {
		c.clients.log.Warn().Str("event", "overload").Int("refused", n).Msg("refused clients: too many connections, or headers too large in all")
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if _, err := io.WriteString(c.Conn, overLimit); err != nil || half.CloseWrite() != nil {
		return
	}
	select {
	case c.clients.lingering <- struct{}{}:
		_, _ = io.Copy(io.Discard, c.Conn) // until the client ends or the time is up
		<-c.clients.lingering
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

// CloseWrite ends what is sent, and lets the client go on.
func (c *clientConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close implements net.Conn. Here a refused client gets its answer: nothing holds what was read of its header any more.
func (c *clientConn) Close() error {
	c.clients.mu.Lock()
	c.giveBack()
	c.leave()
	over := c.over
	c.over = false
	c.clients.mu.Unlock()
	if over {
		c.refuse()
	}
	return c.Conn.Close()
}

// These need clients.mu.

func (c *clientConn) giveBack() {
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

func (c *clientConn) leave() {
	c.stopWaiting()
	if c.counted {
		c.counted = false
		c.clients.open--
	}
}
