package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// connBuffer is what is read of a client at once, in bytes.
	connBuffer = 4 << 10
	// largeBuffer has the largest header; the rest may be the next request's.
	largeBuffer = MaxHeaderBytes + connBuffer
	// largeMemory is what it takes: the guard holds a line of it, too.
	largeMemory = 2 * largeBuffer
	// lingerTime is how long, and lingerBytes how much, is read of a client that was answered and goes on sending.
	// Closing a connection with unread data would take the answer away from it.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 16 << 20
	// finishGrace is how long the last of a response may take to be sent, whoever needs the connection's place.
	finishGrace = 500 * time.Millisecond
)

var errHeaderTooLarge = errors.New("the header is too large")

// Conn is a client's connection. One goroutine reads a request, has it served and writes the response. net/http parses what
// the guard has checked.
type Conn struct {
	*guardedConn
	server *Server
	raw    syscall.RawConn // nil when the connection has none

	state    atomic.Int32  // see below
	since    atomic.Int64  // when it began to wait, or to finish, as Unix time in nanoseconds
	reader   *bufio.Reader // nil while nothing is expected, so that a waiting stream holds none
	large    bool          // the reader is one of largeReaders, taken from spare
	again    []byte        // was read already, and is read again before all else
	parsed   int           // headers that were parsed; the guard counts those that came
	headLeft int64         // bytes that may still be read of the header; negative: no limit
	until    atomic.Int64  // the deadline for reading, if it is known, as Unix time in seconds
}

// The states of a client. One that waits, or finishes, makes room for others when there are too many.
const (
	connWaits    = iota // for a request, or the rest of its header
	connServed          // a request is being served
	connFinishes        // the last of an answer is being sent
	connEvicted
	connHandedOver // to HTTP/2
)

var (
	readers      = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, connBuffer) }}
	largeReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, largeBuffer) }}
)

func newConn(s *Server, conn *guardedConn) *Conn {
	c := &Conn{guardedConn: conn, server: s}
	c.since.Store(time.Now().UnixNano())
	if under, ok := conn.Conn.(syscall.Conn); ok {
		c.raw, _ = under.SyscallConn() // without it a client that left is noticed when it is written to
	}
	return c
}

// Fault returns what is wrong with the framing of the client's requests; "" for nothing. The request must be refused.
func (c *Conn) Fault() string {
	if fault := c.fault.Load(); fault != nil {
		return *fault
	}
	return ""
}

// Read limits the bytes of a header.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.again) > 0 {
		n := copy(p, c.again)
		c.again = c.again[n:]
		return n, nil
	}
	if c.headLeft == 0 {
		return 0, errHeaderTooLarge
	}
	if c.headLeft > 0 {
		p = p[:min(int64(len(p)), c.headLeft)]
	}
	n, err := c.guardedConn.Read(p)
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	return n, err
}

// serve serves one request after the other, until the connection ends.
func (c *Conn) serve() {
	defer c.end()
	for first := true; c.await(first); first = false {
		if c.http2 {
			c.handOver()
			return
		}
		if !c.next() {
			return
		}
	}
}

// end closes the connection, unless it was handed over.
func (c *Conn) end() {
	if c.state.Load() == connHandedOver {
		return
	}
	c.putReader()
	if c.state.Load() == connEvicted && c.parsed == 0 {
		c.server.refuse(c.Conn) // its request may be on the way
	}
	_ = c.Close()
	c.server.forget(c)
}

func (c *Conn) takeReader() {
	if c.reader == nil {
		c.reader = readers.Get().(*bufio.Reader) //nolint:forcetypeassert // nothing else is put in
		c.reader.Reset(c)
	}
}

func (c *Conn) putReader() {
	if c.reader == nil {
		return
	}
	c.reader.Reset(nil)
	if c.large {
		largeReaders.Put(c.reader)
		c.server.Budget.Give(largeMemory)
	} else {
		readers.Put(c.reader)
	}
	c.reader, c.large, c.again = nil, false, nil
}

// enlargeReader makes room for the rest of a header. What is buffered is read again.
func (c *Conn) enlargeReader() error {
	if c.large {
		return errHeaderTooLarge
	}
	if !c.server.Budget.Take(largeMemory) {
		return ErrNoMemory
	}
	buffered, _ := c.reader.Peek(c.reader.Buffered())
	again := bytes.Clone(buffered)
	c.putReader()
	c.reader, c.large, c.again = largeReaders.Get().(*bufio.Reader), true, again //nolint:forcetypeassert // nothing else is put in
	c.reader.Reset(c)
	return nil
}

// await waits for a request, and reports whether all of its header is here. What the guard or the budget does not let
// through is refused.
func (c *Conn) await(first bool) bool {
	c.takeReader()
	c.headLeft = largeBuffer
	wait := c.server.KeepAlive
	if first {
		wait = c.server.HeaderTimeout
	}
	now := time.Now()
	c.since.Store(now.UnixNano())
	c.readUntil(now.Add(wait))
	if _, err := c.reader.Peek(1); err != nil {
		return false // it left, or had nothing more to say
	}
	for timed := first; ; timed = true {
		if c.http2 || c.heads > c.parsed || c.fault.Load() != nil && c.endsHeader() {
			return true
		}
		if !timed {
			c.readUntil(time.Now().Add(c.server.HeaderTimeout))
		}
		if c.reader.Buffered() == c.reader.Size() {
			if err := c.enlargeReader(); err != nil {
				c.refuse(err)
				return false
			}
		}
		if _, err := c.reader.Peek(c.reader.Buffered() + 1); err != nil {
			if c.fault.Load() != nil {
				c.refuse(nil)
				return false
			}
			return c.reader.Buffered() > 0 && !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// endsHeader reports whether the end of a header is here, on a connection at which the guard does not look any more.
func (c *Conn) endsHeader() bool {
	buffered, _ := c.reader.Peek(c.reader.Buffered())
	return bytes.Contains(buffered, []byte("\n\r\n")) || bytes.Contains(buffered, []byte("\n\n"))
}

// readUntil sets the deadline for reading. One that is nearly the same stays: to move it takes time.
func (c *Conn) readUntil(t time.Time) {
	if c.until.Load() != t.Unix() {
		_ = c.SetReadDeadline(t) // fails on a connection that has ended, as the next read does
		c.until.Store(t.Unix())
		if c.state.Load() == connEvicted {
			_ = c.SetReadDeadline(longAgo) // evict set it before
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.until.Store(0)
	return c.guardedConn.SetReadDeadline(t)
}

// handOver passes the connection on to whoever serves HTTP/2.
func (c *Conn) handOver() {
	_ = c.SetReadDeadline(time.Time{}) // as above
	c.headLeft = -1
	c.state.Store(connHandedOver)
	given := &handedConn{Conn: c.guardedConn, read: c.reader, forget: sync.OnceFunc(func() { c.server.forget(c) })}
	c.reader = nil
	c.server.HTTP2(given)
}

// next serves a request and reports whether another may follow.
func (c *Conn) next() (again bool) {
	if !c.state.CompareAndSwap(connWaits, connServed) {
		return false // evicted
	}
	r, err := http.ReadRequest(c.reader)
	if err != nil {
		c.finishes()
		c.refuse(err)
		return false
	}
	c.parsed++
	c.headLeft = -1
	w := &response{conn: c, request: r}
	if r.ContentLength != 0 {
		w.expectBody()
	} else if c.reader.Buffered() == 0 {
		c.putReader()
	}
	if !c.handle(w) {
		return false
	}
	c.finishes()
	again = w.finish()
	if !again && (r.ContentLength != 0 || c.reader != nil && c.reader.Buffered() > 0 || c.fault.Load() != nil) {
		c.linger()
	}
	// In this order: this, or stop, notices the other.
	return c.state.CompareAndSwap(connFinishes, connWaits) && again && !c.server.isStopping()
}

func (c *Conn) finishes() {
	c.since.Store(time.Now().UnixNano())
	c.state.Store(connFinishes)
}

// isEvictable reports whether the connection can make room for another: it waits for a request, or its client has had time to
// read the rest of a response, which is sent only now if it is small.
func (c *Conn) isEvictable() bool {
	switch c.state.Load() {
	case connWaits:
		return true
	case connFinishes:
		return time.Since(time.Unix(0, c.since.Load())) >= finishGrace
	}
	return false
}

// evict closes the connection, if it is evictable still.
func (c *Conn) evict() bool {
	if !c.isEvictable() {
		return false
	}
	switch {
	case c.state.CompareAndSwap(connWaits, connEvicted):
		_ = c.SetReadDeadline(longAgo) // its goroutine ends; it may have an answer to give
	case c.state.CompareAndSwap(connFinishes, connEvicted):
		_ = c.Close() // its goroutine may be writing
	default:
		return false
	}
	return true
}

// handle reports whether the handler came to a regular end.
func (c *Conn) handle(w *response) (ended bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
			c.server.ErrorLog.Printf("a request ended with a panic: %v\n%s", p, debug.Stack())
		}
		if !ended {
			w.release()
		}
	}()
	c.server.Handler(w, w.request, c)
	return true
}

// refuse answers what net/http can't read, of which it can't be said whose request it is.
func (c *Conn) refuse(err error) {
	status, reason := http.StatusBadRequest, "the request is malformed"
	fault := c.fault.Load()
	switch {
	case errors.Is(err, errHeaderTooLarge):
		status, reason = http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the header is larger than %d bytes", MaxHeaderBytes)
	case errors.Is(err, ErrNoMemory):
		status, reason = http.StatusRequestHeaderFieldsTooLarge,
			fmt.Sprintf("the memory for headers of more than %d bytes is in use; come again, or send a smaller one", connBuffer)
	case fault != nil:
		reason = *fault
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(syscall.Errno)):
		return // it did not send all of it
	}
	body := c.server.Name + ": " + reason + "\n"
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime)) // a client that left needs no answer; nor below
	_, err = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	if err == nil {
		c.linger()
	}
}

// linger reads on for a moment behind the last answer.
func (c *Conn) linger() {
	if c.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime)) // as above
	c.headLeft = -1
	c.blind = true
	c.putReader()
	buffer := c.server.Budget.Buffer()
	defer func() { buffer.Put() }()
	for total := 0; total < lingerBytes; {
		n, err := c.Read(buffer.Bytes)
		if err != nil {
			return
		}
		total += n
		buffer = buffer.Fit(n)
	}
}

// Left reports whether the client has closed the connection. It consumes no data.
func (c *Conn) Left() (left bool) {
	if c.raw == nil {
		return false
	}
	err := c.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		left = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return left || err != nil
}
