package credproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// upstreamBuffer is what is read of an upstream's header at once; bodies are read past it.
	upstreamBuffer = 2 << 10
	// maxInterim is how many interim (1xx) responses may come before the final one.
	maxInterim = 5
)

// upstreamConn is a connection to an upstream on which HTTP/1.1 is spoken. Only its exchange's goroutine uses it, and
// one that sends a body, if there is one. net/http parses what comes.
type upstreamConn struct {
	net.Conn
	pool *upstreams
	raw  syscall.RawConn // of the TCP connection; nil when it has none

	reader    *bufio.Reader
	headLeft  int64 // bytes that may still be read of the header; negative: no limit
	reused    bool
	silent    bool // nothing of the answer has come yet
	idleSince time.Time
}

func newUpstreamConn(pool *upstreams, conn, under net.Conn) *upstreamConn {
	c := &upstreamConn{Conn: conn, pool: pool}
	if under, ok := under.(syscall.Conn); ok {
		c.raw, _ = under.SyscallConn() // without it the connection is used once
	}
	c.reader = bufio.NewReaderSize(c, upstreamBuffer)
	return c
}

// abort makes whatever waits for the connection return.
func (c *upstreamConn) abort() { _ = c.SetDeadline(longAgo) } // fails on one that has ended

// Read limits what is read of a header, and notes that something came.
func (c *upstreamConn) Read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, fmt.Errorf("the upstream's header is larger than %d bytes", maxUpstreamBytes)
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
func (c *upstreamConn) quiet() bool {
	if c.raw == nil || c.reader.Buffered() > 0 || time.Since(c.idleSince) >= upstreamIdle {
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

// roundTrip makes a request and returns the final response, whose body has the connection until it is closed.
func (c *upstreamConn) roundTrip(x *exchange, out *http.Request) (*http.Response, error) {
	x.life.waitsFor(c)
	c.silent = true
	up := c.send(out)
	resp, err := c.receive(out)
	if err != nil {
		_ = c.Close() // the error is known; it also ends the sending
		return nil, errors.Join(up.fault(), err)
	}
	resp.Body = &upstreamBody{ReadCloser: resp.Body, conn: c, life: &x.life, upload: up, close: resp.Close}
	return resp, nil
}

// receive reads the final response's header.
func (c *upstreamConn) receive(out *http.Request) (*http.Response, error) {
	c.headLeft = maxUpstreamBytes
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

// upload is the sending of a request's body. It is nil when all was sent with the header.
type upload struct {
	body  *requestBody
	ended chan struct{} // closed when nothing is sent any more
	sent  bool          // whether that was all; known when ended
	err   atomic.Pointer[error]
}

// complete tells whether the body was sent to its end. The answer may have been here before the goroutine that sent the
// last of it has noticed.
func (u *upload) complete(c *upstreamConn) bool {
	if u == nil {
		return true
	}
	if u.body.unread() || c.SetWriteDeadline(time.Now().Add(bodyGrace)) != nil {
		return false
	}
	<-u.ended
	return u.sent && c.SetWriteDeadline(time.Time{}) == nil
}

func (u *upload) fault() error {
	if u != nil {
		if err := u.err.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// fail ends the exchange for what is wrong with the body.
func (u *upload) fail(c *upstreamConn, err error) {
	u.err.Store(&err)
	c.abort()
}

// send sends the request's header, and the body with it if that is here, or in a goroutine of its own: the response may
// come before it. That sending fails is of no interest if there is a response, and is told by receiving otherwise.
func (c *upstreamConn) send(out *http.Request) *upload {
	buffer := headBuffers.get()
	defer buffer.put()
	head := appendHead(buffer.bytes[:0], out)
	body, _ := out.Body.(*requestBody)
	if body == nil {
		return c.sendAll(head)
	}
	if body.isHere() && int64(cap(head)-len(head)) >= body.length {
		n, err := io.ReadFull(body, head[len(head):len(head)+int(body.length)])
		if err == nil {
			return c.sendAll(head[:len(head)+n])
		}
		up := cutUpload()
		up.fail(c, err)
		return up
	}
	up := c.sendAll(head)
	if up == nil {
		up = &upload{body: body, ended: make(chan struct{})}
		go c.upload(up)
	}
	return up
}

// sendAll sends in this goroutine.
func (c *upstreamConn) sendAll(data []byte) *upload {
	if _, err := c.Write(data); err != nil {
		return cutUpload()
	}
	return nil
}

// cutUpload is one that has ended before its end.
func cutUpload() *upload {
	up := &upload{ended: make(chan struct{})}
	close(up.ended)
	return up
}

// upload sends the body. When the client's part fails the upstream must not take what it got for all.
func (c *upstreamConn) upload(up *upload) {
	defer close(up.ended)
	body := up.body
	buffer := smallBuffer()
	defer func() { buffer.put() }()
	for {
		n, err := body.Read(buffer.bytes[chunkHead : len(buffer.bytes)-len("\r\n")])
		if n > 0 {
			piece := buffer.bytes[chunkHead : chunkHead+n]
			if body.length < 0 {
				piece = frameChunk(buffer.bytes, n)
			}
			body.life.uploads.begin()
			if _, err := c.Write(piece); err != nil {
				return
			}
			body.life.uploads.end()
		}
		switch {
		case errors.Is(err, io.EOF):
			up.sent = body.length >= 0 || c.endChunks()
			return
		case err == nil && body.read.Load() == body.length:
			up.sent = true
			return
		case err != nil:
			up.fail(c, err)
			return
		}
		buffer = buffer.fit(n + chunkHead + len("\r\n"))
	}
}

// chunkHead is the room for a chunk's length in front of it.
const chunkHead = 10

// frameChunk makes a chunk of n bytes that lie in a buffer behind that room.
func frameChunk(buffer []byte, n int) []byte {
	head := strconv.AppendInt(make([]byte, 0, chunkHead), int64(n), 16)
	head = append(head, "\r\n"...)
	from := chunkHead - len(head)
	copy(buffer[from:], head)
	copy(buffer[chunkHead+n:], "\r\n")
	return buffer[from : chunkHead+n+len("\r\n")]
}

func (c *upstreamConn) endChunks() (sent bool) {
	_, err := io.WriteString(c.Conn, "0\r\n\r\n")
	return err == nil
}

// headBuffers have a request's header, and its body if that is small.
var headBuffers = newBuffers(8 << 10)

// appendHead appends a request's header, as pipelock (in absolute form) or the upstream is to read it.
func appendHead(head []byte, out *http.Request) []byte {
	head = append(head, out.Method...)
	head = append(head, ' ')
	if out.URL.Scheme == "http" {
		head = append(head, "http://"...)
		head = append(head, out.URL.Host...)
	}
	head = append(head, out.URL.EscapedPath()...)
	if out.URL.RawQuery != "" {
		head = append(head, '?')
		head = append(head, out.URL.RawQuery...)
	}
	head = append(head, " HTTP/1.1\r\n"...)
	head = appendField(head, "Host", out.Host)
	for name, values := range out.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection":
			continue
		}
		for _, value := range values {
			if value != "" || name != "User-Agent" {
				head = appendField(head, name, value)
			}
		}
	}
	switch {
	case out.Body != nil && out.ContentLength < 0:
		head = appendField(head, "Transfer-Encoding", "chunked")
	case out.Body != nil, out.Method == http.MethodPost, out.Method == http.MethodPut, out.Method == http.MethodPatch:
		head = appendField(head, "Content-Length", strconv.FormatInt(out.ContentLength, 10))
	}
	return append(head, "\r\n"...)
}

// appendField appends one, unless it would be more than that.
func appendField(head []byte, name, value string) []byte {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return head
	}
	head = append(head, name...)
	head = append(head, ": "...)
	head = append(head, value...)
	return append(head, "\r\n"...)
}

// upstreamBody is a response's body.
type upstreamBody struct {
	io.ReadCloser
	conn   *upstreamConn
	life   *life
	upload *upload
	close  bool // the connection ends with this response
	ended  bool
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
	b.life.waitsFor(nil)
	if b.life.why() == nil && b.ended && !b.close && c.reader.Buffered() == 0 && b.upload.complete(c) {
		c.reused = true
		c.pool.put(c)
		return nil
	}
	return c.Close()
}
