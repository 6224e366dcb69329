package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// upload is the sending of a request's body. It is nil when all was sent with the header.
type upload struct {
	body  *Body
	ended chan struct{} // closed when nothing is sent any more
	sent  bool          // whether that was all; known when ended
	err   atomic.Pointer[error]
}

// complete reports whether the body was sent to its end. The answer may have been here before the goroutine that sent the
// last of it has noticed.
func (u *upload) complete(c *UpstreamConn) bool {
	if u == nil {
		return true
	}
	if u.body.Unread() || c.SetWriteDeadline(time.Now().Add(uploadGrace)) != nil {
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
func (u *upload) fail(c *UpstreamConn, err error) {
	u.err.Store(&err)
	c.abort()
}

// send sends the request's header, and the body with it if that is here, or in a goroutine of its own: the response may
// come before it. That sending fails is of no interest if there is a response, and is told by receiving otherwise.
func (c *UpstreamConn) send(out *http.Request) *upload {
	buffer := headBuffers.get()
	defer buffer.Put()
	head := appendHead(buffer.Bytes[:0], out)
	body, _ := out.Body.(*Body)
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
func (c *UpstreamConn) sendAll(data []byte) *upload {
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
func (c *UpstreamConn) upload(up *upload) {
	defer close(up.ended)
	body := up.body
	buffer := c.pool.options.Budget.Buffer()
	defer func() { buffer.Put() }()
	for {
		n, err := body.Read(buffer.Bytes[chunkHead : len(buffer.Bytes)-len("\r\n")])
		if n > 0 {
			piece := buffer.Bytes[chunkHead : chunkHead+n]
			if body.length < 0 {
				piece = frameChunk(buffer.Bytes, n)
			}
			body.exchange.Uploads.Begin()
			if _, err := c.Write(piece); err != nil {
				return
			}
			body.exchange.Uploads.End()
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
		buffer = buffer.Fit(n + chunkHead + len("\r\n"))
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

func (c *UpstreamConn) endChunks() (sent bool) {
	_, err := io.WriteString(c.Conn, "0\r\n\r\n")
	return err == nil
}

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

// appendField appends one header field. An invalid name or value is dropped: it could inject further fields.
func appendField(head []byte, name, value string) []byte {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return head
	}
	head = append(head, name...)
	head = append(head, ": "...)
	head = append(head, value...)
	return append(head, "\r\n"...)
}
