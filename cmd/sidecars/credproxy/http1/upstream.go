package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// ErrStale reports that an idle connection was closed by the upstream before it answered.
var ErrStale = errors.New("the upstream closed an idle connection")

// staleError is an ErrStale with the cause's text.
type staleError struct{ error }

// Is makes it an ErrStale.
func (e *staleError) Is(target error) bool { return target == ErrStale }

// Unwrap returns the cause.
func (e *staleError) Unwrap() error { return e.error }

const (
	// uploadGrace bounds how long the end of an upload is waited for, once the response is here.
	uploadGrace = 500 * time.Millisecond
	// upstreamBuffer is what is read of an upstream's header at once; bodies are read past it.
	upstreamBuffer = 2 << 10
	// maxInterim is how many interim (1xx) responses may come before the final one.
	maxInterim = 5
)

// UpstreamConn is a connection to an upstream on which HTTP/1.1 is spoken. Only its exchange's goroutine uses it, and
// one that sends a body, if there is one. net/http parses what comes.
type UpstreamConn struct {
	net.Conn
	pool *Pool
	raw  syscall.RawConn // of the TCP connection; nil when it has none

	reader    *bufio.Reader
	headLeft  int64 // bytes that may still be read of the header; negative: no limit
	reused    bool
	silent    bool // nothing of the answer has come yet
	idleSince time.Time
}

// NewConn returns a connection that the pool keeps between two exchanges. under is the TCP connection below conn, for which
// it may be the same.
func (p *Pool) NewConn(conn, under net.Conn) *UpstreamConn {
	c := &UpstreamConn{Conn: conn, pool: p}
	if under, ok := under.(syscall.Conn); ok {
		c.raw, _ = under.SyscallConn() // without it the connection is used once
	}
	c.reader = bufio.NewReaderSize(c, upstreamBuffer)
	return c
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// abort makes whatever waits for the connection return.
func (c *UpstreamConn) abort() { _ = c.SetDeadline(longAgo) } // fails on one that has ended

// Read limits what is read of a header, and notes that something came.
func (c *UpstreamConn) Read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, fmt.Errorf("the upstream's header is larger than %d bytes", c.pool.options.MaxHeaderBytes)
	}
	if c.headLeft > 0 {
		p = p[:min(int64(len(p)), c.headLeft)]
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.silent = false
	}
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	return n, err
}

// quiet tells that an idle connection is open, and that nothing has come on it, which would be taken for the answer to
// the next request.
func (c *UpstreamConn) quiet() bool {
	if c.raw == nil || c.reader.Buffered() > 0 || time.Since(c.idleSince) >= c.pool.options.IdleTimeout {
		return false
	}
	quiet := false
	err := c.raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
	})
	return quiet && err == nil
}

// RoundTrip makes a request and returns the final response. The body of the request is nil or a *Body. The body of the
// response owns the connection until it is closed. Canceling x makes both fail.
//
// The error is ErrStale if the connection had been idle and ended without a byte of a response.
func (c *UpstreamConn) RoundTrip(x *Exchange, out *http.Request) (*http.Response, error) {
	x.WaitFor(c.abort)
	c.silent = true
	up := c.send(out)
	resp, err := c.receive(out)
	if err != nil {
		_ = c.Close() // the error is known; it also ends the sending
		err = errors.Join(up.fault(), err)
		if c.reused && c.silent {
			err = &staleError{err}
		}
		return nil, err
	}
	resp.Body = &upstreamBody{ReadCloser: resp.Body, conn: c, exchange: x, upload: up, close: resp.Close}
	return resp, nil
}

// receive reads the final response's header.
func (c *UpstreamConn) receive(out *http.Request) (*http.Response, error) {
	c.headLeft = c.pool.options.MaxHeaderBytes
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(c.reader, out)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode < http.StatusContinue {
			c.headLeft = -1
			return resp, nil
		}
	}
	return nil, fmt.Errorf("the upstream sent more than %d interim responses", maxInterim)
}

// upstreamBody is a response's body.
type upstreamBody struct {
	io.ReadCloser
	conn     *UpstreamConn
	exchange *Exchange
	upload   *upload
	close    bool // the connection ends with this response
	ended    bool
}

// Read implements io.Reader.
func (b *upstreamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended = true
	}
	return n, err
}

// Close keeps the connection for another exchange if all of this one is over, and closes it otherwise: reading the rest
// might take for ever.
func (b *upstreamBody) Close() error {
	c := b.conn
	b.exchange.WaitFor(nil)
	if b.exchange.Err() == nil && b.ended && !b.close && c.reader.Buffered() == 0 && b.upload.complete(c) {
		c.reused = true
		c.pool.Put(c)
		return nil
	}
	return c.Close()
}
