package http1

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// guardedConn checks the framing of an HTTP/1 client's requests before net/http parses them. net/http repairs what is
// ambiguous about where a message ends: both lengths, the same length twice, folded lines, bare line feeds, a chunked
// HTTP/1.0 request. A proxy must refuse these, because a server before or behind it may read them differently (request
// smuggling; RFC 9112, sections 2.2, 5.2, 6.1 and 11.2). A fault is final: the request is refused and the connection closed.
type guardedConn struct {
	net.Conn
	fault atomic.Pointer[string]

	http2 bool   // the preface of HTTP/2 was the first line
	blind bool   // the rest is not checked
	used  bool   // a request line has been seen, or HTTP/2 is not served
	heads int    // complete headers
	body  int64  // bytes to come before the next request line
	line  []byte // an incomplete line
	head  head
}

// head holds the framing fields of the header that is being read.
type head struct {
	begun, http10, chunked, length, host bool
	body                                 int64
}

// Read implements net.Conn.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for data := p[:n]; len(data) > 0 && !c.blind; {
		data = c.inspect(data)
	}
	return n, err
}

// CloseWrite half-closes the connection, so that a client with unread data still gets the response.
func (c *guardedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// inspect consumes part of a body or at most one line, and returns the rest.
func (c *guardedConn) inspect(data []byte) []byte {
	if c.body > 0 {
		skipped := min(c.body, int64(len(data)))
		c.body -= skipped
		return data[skipped:]
	}
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		c.line = append(c.line, data...) // bounded by MaxHeaderBytes
		return nil
	}
	line, rest := data[:end+1], data[end+1:]
	if len(c.line) > 0 {
		line = append(c.line, line...)
		c.line = nil
	}
	if fault := c.take(line); fault != "" {
		c.fault.Store(&fault)
		c.blind = true
	}
	return rest
}

// take checks one line of a header and returns the fault in it; "" for none.
func (c *guardedConn) take(line []byte) string {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(text, '\r') >= 0 {
		return "a line of the header does not end with CRLF"
	}
	switch {
	case !c.head.begun:
		return c.takeRequestLine(string(text))
	case len(text) == 0:
		return c.endHeader()
	case text[0] == ' ' || text[0] == '\t':
		return "a line of the header is folded"
	}
	name, value, ok := bytes.Cut(text, []byte(":"))
	if !ok || !httpguts.ValidHeaderFieldName(string(name)) {
		return "a line of the header has no valid name"
	}
	return c.head.takeField(name, bytes.Trim(value, " \t"))
}

func (c *guardedConn) takeRequestLine(line string) string {
	if line == "PRI * HTTP/2.0" && !c.used {
		c.http2, c.blind = true, true // HTTP/2 has frames with lengths; net/http compares them with the Content-Length
		return ""
	}
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if method == "" || target == "" || version != "HTTP/1.1" && version != "HTTP/1.0" {
		return "the request line is not: method, target, HTTP/1.1, with one space between them"
	}
	c.used = true
	c.head = head{begun: true, http10: version == "HTTP/1.0"}
	return ""
}

func (h *head) takeField(name, value []byte) string {
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		number, err := strconv.ParseUint(string(value), 10, 63)
		if h.length || err != nil {
			return "there is more than one Content-Length, or it is no number"
		}
		h.length, h.body = true, int64(number)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if h.chunked || !bytes.EqualFold(value, []byte("chunked")) {
			return "the Transfer-Encoding is not just chunked"
		}
		h.chunked = true
	case bytes.EqualFold(name, []byte("Host")):
		if h.host {
			return "there is more than one Host"
		}
		if h.host = true; !httpguts.ValidHostHeader(string(value)) {
			return "the Host is malformed"
		}
	}
	if !httpguts.ValidHeaderFieldValue(string(value)) {
		return "a value in the header has a control character"
	}
	return ""
}

func (c *guardedConn) endHeader() string {
	h := c.head
	c.head = head{}
	c.heads++
	switch {
	case h.chunked && h.length:
		return "there are both a Content-Length and a Transfer-Encoding"
	case !h.host && !h.http10:
		return "there is no Host"
	case h.chunked && h.http10:
		return "HTTP/1.0 has no Transfer-Encoding"
	case h.chunked:
		c.blind = true // the connection ends with this request: see mustClose
	}
	c.body = h.body
	return ""
}
