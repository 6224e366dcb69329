package credproxy

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
	// clientBuffer is what is read of a client at once, in bytes.
	clientBuffer = 4 << 10
	// lingerTime is how long, and lingerBytes how much, is read of a client that was answered and goes on sending.
	// Closing a connection with unread data would take the answer away from it.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 16 << 20
)

var errHeaderTooLarge = errors.New("the header is too large")

// client is a connection on which HTTP/1 is spoken. net/http parses what comes, behind the guard.
type client struct {
	*guardedConn
	server *server
	raw    syscall.RawConn // nil when the connection has none

	serving  atomic.Bool   // a request is being served
	reader   *bufio.Reader // nil while nothing is expected, so that a waiting stream holds none
	headLeft int64         // bytes that may still be read of the header; negative: no limit
	until    atomic.Int64  // the deadline for reading, if it is known, as Unix time in seconds
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, clientBuffer) }}

func newClient(s *server, conn *guardedConn) *client {
	c := &client{guardedConn: conn, server: s}
	if under, ok := conn.Conn.(syscall.Conn); ok {
		c.raw, _ = under.SyscallConn() // without it a client that left is noticed when it is written to
	}
	return c
}

// Read limits what is read of a header.
func (c *client) Read(p []byte) (int, error) {
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
func (c *client) serve() {
	defer c.end()
	for first := true; c.await(first); first = false {
		if c.http2 {
			c.leaveToHTTP2()
			return
		}
		if !c.next() {
			return
		}
	}
}

// end closes the connection, unless net/http has it.
func (c *client) end() {
	if !c.http2 {
		_ = c.Close()
	}
	c.putReader()
	c.server.forget(c)
}

func (c *client) takeReader() {
	if c.reader == nil {
		c.reader = readers.Get().(*bufio.Reader) //nolint:forcetypeassert // nothing else is put in
		c.reader.Reset(c)
	}
}

func (c *client) putReader() {
	if c.reader != nil {
		c.reader.Reset(nil)
		readers.Put(c.reader)
		c.reader = nil
	}
}

// await waits for a request's header, and returns when all of it is here, or a buffer full. How the rest comes, and what
// is wrong with it, http.ReadRequest finds out.
func (c *client) await(first bool) bool {
	c.takeReader()
	c.headLeft = maxHeaderBytes + clientBuffer // which may be the next request's
	wait := c.server.keepAlive
	if first {
		wait = c.server.headerTimeout
	}
	c.readUntil(time.Now().Add(wait))
	if _, err := c.reader.Peek(1); err != nil {
		return false // it left, or had nothing more to say
	}
	for timed := first; ; timed = true {
		buffered, _ := c.reader.Peek(c.reader.Buffered())
		if c.http2 || c.fault.Load() != nil || bytes.Contains(buffered, []byte("\r\n\r\n")) || len(buffered) == clientBuffer {
			return true
		}
		if !timed {
			c.readUntil(time.Now().Add(c.server.headerTimeout))
		}
		if _, err := c.reader.Peek(len(buffered) + 1); err != nil {
			return c.reader.Buffered() > 0 && !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// readUntil sets the deadline for reading. One that is nearly the same stays: to move it takes time.
func (c *client) readUntil(t time.Time) {
	if c.until.Load() != t.Unix() {
		_ = c.SetReadDeadline(t) // fails on a connection that has ended, as the next read does
		c.until.Store(t.Unix())
	}
}

// SetReadDeadline implements net.Conn.
func (c *client) SetReadDeadline(t time.Time) error {
	c.until.Store(0)
	return c.guardedConn.SetReadDeadline(t)
}

func (c *client) leaveToHTTP2() {
	_ = c.SetReadDeadline(time.Time{}) // as above
	c.headLeft = -1
	c.server.taken.give(c.guardedConn, c.reader)
	c.reader = nil
}

// next serves a request and tells whether another may follow.
func (c *client) next() (again bool) {
	r, err := http.ReadRequest(c.reader)
	if err != nil {
		c.refuse(err)
		return false
	}
	c.headLeft = -1
	c.serving.Store(true)
	w := &reply{client: c, request: r}
	if r.ContentLength != 0 {
		w.expectBody()
	} else if c.reader.Buffered() == 0 {
		c.putReader()
	}
	if !c.handle(w) {
		return false
	}
	again = w.finish()
	if !again && (r.ContentLength != 0 || c.reader != nil && c.reader.Buffered() > 0 || c.fault.Load() != nil) {
		c.linger()
	}
	c.serving.Store(false)
	return again && !c.server.isStopping() // in this order: one of both notices the other, see stop
}

// handle tells whether the handler came to a regular end.
func (c *client) handle(w *reply) (ended bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
			c.server.handler.errorLog.Printf("a request ended with a panic: %v\n%s", p, debug.Stack())
		}
		if !ended {
			w.release()
		}
	}()
	c.server.handler.serve(w, w.request, c)
	return true
}

// refuse answers what net/http can't read, of which it can't be said whose request it is.
func (c *client) refuse(err error) {
	status, reason := http.StatusBadRequest, "the request is malformed"
	fault := c.fault.Load()
	switch {
	case errors.Is(err, errHeaderTooLarge):
		status, reason = http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the header is larger than %d bytes", maxHeaderBytes)
	case fault != nil:
		reason = *fault
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(syscall.Errno)):
		return // it did not send all of it
	}
	body := "cred-proxy: " + reason + "\n"
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime)) // a client that left needs no answer; nor below
	_, err = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	if err == nil {
		c.linger()
	}
}

// linger reads on for a moment behind the last answer.
func (c *client) linger() {
	if c.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime)) // as above
	c.headLeft = -1
	c.blind = true
	buffer := bufferPools[len(bufferPools)-1].get()
	defer buffer.put()
	for total := 0; total < lingerBytes; {
		n, err := c.Read(buffer.bytes)
		if err != nil {
			return
		}
		total += n
	}
}

// left tells whether the client has closed the connection, without reading of it.
func (c *client) left() (left bool) {
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
