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
)

// Budget bounds, in bytes, what many take of one thing. It never waits: who is over is refused.
type Budget struct {
	limit int64
	taken atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Take takes n bytes if there are that many left.
func (b *Budget) Take(n int64) bool {
	if b.taken.Add(n) <= b.limit {
		return true
	}
	b.taken.Add(-n)
	return false
}

// Give gives bytes back.
func (b *Budget) Give(n int64) { b.taken.Add(-n) }

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
	// lingerTime is how long a refused client may take to read its answer, and maxLingering how many may at once.
	lingerTime   = 500 * time.Millisecond
	maxLingering = 128
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
// place or its share, the one first that has waited longest: who does nothing, or sends slowly, keeps nobody out.
// Connections over loopback (the health check) need no place.
type Clients struct {
	limit     int     // of connections, without those that were hijacked
	headers   *Budget // of those that are being read, and of requests under way
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
		limit: conns, headers: NewBudget(headerBytes), lingering: make(chan struct{}, maxLingering), log: log,
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
		c := &clientConn{Conn: conn, clients: l.clients, counted: !l.clients.exempt(conn.RemoteAddr())}
		c.reading.Store(true)
		if l.clients.add(c) {
			return c, nil
		}
		go func() { _ = c.Close() }()
	}
}

// add makes room for a connection. There is none when requests of all others are being handled.
func (c *Clients) add(conn *clientConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !conn.counted {
		return true
	}
	if c.open >= c.limit && !c.evict(func(*clientConn) bool { return true }) {
		conn.counted, conn.over = false, true
		return false
	}
	c.open++
	conn.place = c.waiting.PushBack(conn)
	return true
}

// evict ends the connection that has waited longest of those that are wanted: its reads fail from now on. It needs c.mu.
func (c *Clients) evict(wanted func(*clientConn) bool) bool {
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		conn := e.Value.(*clientConn) //nolint:forcetypeassert // only add and Track put something in
		if !wanted(conn) {
			continue
		}
		conn.evicted, conn.over = true, conn.cost > 0 // between two requests there is nobody to answer
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
		bounded.reading.Store(true)
		if bounded.counted {
			bounded.place = c.waiting.PushBack(bounded)
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
	reading atomic.Bool // a header, or nothing yet

	// Guarded by clients.mu.
	counted bool          // among clients.open
	place   *list.Element // in clients.waiting
	evicted bool
	over    bool  // its end is a refusal
	cost    int64 // of the header that is being read
	taken   int64 // for it, of the budget
}

// Read implements net.Conn.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.reading.Load() || c.charge(p[:n]) {
		return n, err
	}
	return 0, errOverLimit
}

// charge takes what the header costs so far, and says whether the connection may go on.
func (c *clientConn) charge(data []byte) bool {
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.cost == 0 && len(data) > 0 && c.place != nil {
		c.clients.waiting.MoveToBack(c.place) // it has waited for nothing yet
	}
	if c.evicted {
		return false
	}
	c.cost += costOfByte*int64(len(data)) + costOfLine*int64(bytes.Count(data, []byte{'\n'}))
	more := c.cost - freeCost - c.taken
	if more <= 0 {
		return true
	}
	for !c.clients.headers.Take(more) {
		if !c.clients.evict(func(other *clientConn) bool { return other.taken > 0 && other != c }) {
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
	select {
	case c.clients.lingering <- struct{}{}:
		defer func() { <-c.clients.lingering }()
	default:
		return
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.Conn.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if _, err := io.WriteString(c.Conn, overLimit); err == nil && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.Conn) // until the client ends or the time is up
	}
}

// SetReadDeadline implements net.Conn.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.evicted {
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
	c.clients.headers.Give(c.taken)
	c.cost, c.taken = 0, 0
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
