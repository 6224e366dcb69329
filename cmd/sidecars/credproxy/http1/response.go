package http1

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// response is the http.ResponseWriter of an HTTP/1 request. It buffers until a flush or a full buffer.
type response struct {
	conn    *Conn
	request *http.Request
	header  http.Header
	body    *clientBody // the request's; nil for none

	held     *Buffer // has what is not sent yet; nil for nothing
	n        int     // bytes in held
	begun    bool    // the header is decided
	closes   bool    // the connection ends with this answer
	chunked  bool
	bodyless bool
	left     int64    // bytes of the body that are announced and not written yet; negative: not known
	trailer  []string // announced
	err      error    // of writing, which does not get better
	cut      atomic.Bool

	interim sync.Mutex // held to send 100 Continue, and to begin the answer, after which there is none
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter. An interim (1xx) status is not passed on.
func (r *response) WriteHeader(status int) {
	if r.begun || status < http.StatusOK {
		return
	}
	r.interim.Lock()
	r.begun = true
	r.interim.Unlock()
	h := r.Header()
	r.frame(status, h)
	r.append("HTTP/1.1 ")
	r.append(strconv.Itoa(status))
	r.append(" ")
	r.append(http.StatusText(status))
	r.append("\r\n")
	r.fields(h, "")
	if len(h["Date"]) == 0 {
		r.field("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if r.chunked {
		r.field("Transfer-Encoding", "chunked")
	}
	if r.closes {
		r.field("Connection", "close")
	}
	r.append("\r\n")
}

// frame decides how the client will know where the body ends (RFC 9112, section 6.3).
func (r *response) frame(status int, h http.Header) {
	r.closes = r.mustClose()
	r.trailer = h["Trailer"]
	delete(h, "Connection")
	delete(h, "Transfer-Encoding")
	r.left = -1
	if length := h["Content-Length"]; len(length) > 0 {
		if n, err := strconv.ParseUint(length[0], 10, 63); err == nil && len(length) == 1 {
			r.left = int64(n)
		} else {
			delete(h, "Content-Length")
		}
	}
	r.bodyless = r.request.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	switch {
	case status == http.StatusNoContent:
		delete(h, "Content-Length")
	case r.bodyless || r.left >= 0:
	case r.request.ProtoMinor == 0:
		r.closes = true
	default:
		r.chunked = true
	}
	if !r.chunked {
		delete(h, "Trailer")
	}
}

// mustClose tells that the connection ends with this answer. What follows a body that is chunked, behind which the guard
// does not look for the next request, or not read to its end, might be taken for a request.
func (r *response) mustClose() bool {
	return r.request.Close || r.request.ProtoMinor == 0 || len(r.request.TransferEncoding) > 0 || r.body.unread() ||
		r.conn.fault.Load() != nil || r.cut.Load() || r.conn.server.isStopping()
}

// fields appends those of a header whose name has a prefix, without that.
func (r *response) fields(h http.Header, prefix string) {
	for name, values := range h {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok || prefix == "" && strings.HasPrefix(name, http.TrailerPrefix) || !httpguts.ValidHeaderFieldName(short) {
			continue
		}
		for _, value := range values {
			r.field(short, value)
		}
	}
}

// field appends one, unless its value would be more than that.
func (r *response) field(name, value string) {
	if !httpguts.ValidHeaderFieldValue(value) {
		return
	}
	r.append(name)
	r.append(": ")
	r.append(value)
	r.append("\r\n")
}

// append holds a text back for later.
func (r *response) append(text string) {
	for len(text) > 0 && r.err == nil {
		if r.held == nil {
			r.held, r.n = responseBuffers.get(), 0
		}
		n := copy(r.held.Bytes[r.n:], text)
		if r.n += n; n < len(text) {
			r.send(nil)
		}
		text = text[n:]
	}
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	switch {
	case r.err != nil:
		return 0, r.err
	case r.bodyless || len(p) == 0:
		return len(p), nil
	case r.left >= 0 && int64(len(p)) > r.left:
		return 0, http.ErrContentLength
	case r.left > 0:
		r.left -= int64(len(p))
	}
	if r.chunked {
		r.append(strconv.FormatInt(int64(len(p)), 16))
		r.append("\r\n")
	}
	if r.held != nil && len(p) <= len(r.held.Bytes)-r.n {
		r.n += copy(r.held.Bytes[r.n:], p)
	} else {
		r.send(p)
	}
	if r.chunked {
		r.append("\r\n")
	}
	return len(p), r.err
}

// send sends what is held, and more.
func (r *response) send(more []byte) {
	var pieces net.Buffers
	if r.held != nil {
		pieces = append(pieces, r.held.Bytes[:r.n])
	}
	if len(more) > 0 {
		pieces = append(pieces, more)
	}
	if r.err == nil {
		switch len(pieces) {
		case 0:
		case 1:
			_, r.err = r.conn.Write(pieces[0])
		default:
			_, r.err = pieces.WriteTo(r.conn.Conn)
		}
	}
	r.release()
}

// release lets the buffer go, and what is in it.
func (r *response) release() {
	if r.held != nil {
		r.held.Put()
		r.held = nil
	}
}

// FlushError lets http.ResponseController flush.
func (r *response) FlushError() error {
	r.WriteHeader(http.StatusOK)
	r.send(nil)
	return r.err
}

// finish ends the answer and reports whether the connection can be used again.
func (r *response) finish() bool {
	if !r.begun {
		r.Header().Set("Content-Length", "0")
		r.WriteHeader(http.StatusOK)
	}
	if r.chunked {
		r.append("0\r\n")
		for _, name := range r.trailer {
			for _, value := range r.header[name] {
				r.field(name, value)
			}
		}
		r.fields(r.header, http.TrailerPrefix)
		r.append("\r\n")
	}
	r.send(nil)
	return r.err == nil && !r.closes && (r.bodyless || r.left <= 0) && !r.cut.Load() && !r.body.unread()
}

// SetReadDeadline lets http.ResponseController set it.
func (r *response) SetReadDeadline(t time.Time) error { return r.conn.SetReadDeadline(t) }

// SetWriteDeadline lets http.ResponseController set it; the connection ends with the request.
func (r *response) SetWriteDeadline(t time.Time) error {
	r.cut.Store(true)
	return r.conn.SetWriteDeadline(t)
}

// EnableFullDuplex lets http.ResponseController ask for what is always so.
func (r *response) EnableFullDuplex() error { return nil }

// expectBody prepares for reading the request's body.
func (r *response) expectBody() {
	_ = r.conn.SetReadDeadline(time.Time{}) // fails on a connection that has ended, as reading does
	r.body = &clientBody{ReadCloser: r.request.Body, response: r, asked: r.request.Header.Get("Expect") == ""}
	r.request.Body = r.body
}

// clientBody is the body of a request of HTTP/1.
type clientBody struct {
	io.ReadCloser
	response *response
	asked    bool // the client sends it, or has been told to
	n        int64
	ended    atomic.Bool // all of it was read
}

// Read asks a client for the body that waits for that.
func (b *clientBody) Read(p []byte) (int, error) {
	if !b.asked {
		b.asked = true
		b.response.proceed()
	}
	n, err := b.ReadCloser.Read(p)
	if b.n += int64(n); err == io.EOF || b.n == b.response.request.ContentLength {
		b.ended.Store(true)
	}
	return n, err
}

func (b *clientBody) unread() bool { return b != nil && !b.ended.Load() }

// isHere reports whether a body of a length has arrived as a whole.
func (b *clientBody) isHere(length int64) bool {
	return length > 0 && b.asked && int64(b.response.conn.reader.Buffered()) >= length
}

// proceed sends 100 Continue, unless the answer has begun.
func (r *response) proceed() {
	r.interim.Lock()
	defer r.interim.Unlock()
	if !r.begun {
		_, _ = io.WriteString(r.conn.Conn, "HTTP/1.1 100 Continue\r\n\r\n") // if it fails, so does reading
	}
}
