package credproxy

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

// reply is the answer to a request of HTTP/1. What is written is held back until it is flushed or fills a buffer.
type reply struct {
	client  *client
	request *http.Request
	header  http.Header
	body    *clientBody // the request's; nil for none

	held     *buffer // has what is not sent yet; nil for nothing
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
func (r *reply) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter. An interim (1xx) status is not passed on.
func (r *reply) WriteHeader(status int) {
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
func (r *reply) frame(status int, h http.Header) {
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
func (r *reply) mustClose() bool {
	return r.request.Close || r.request.ProtoMinor == 0 || len(r.request.TransferEncoding) > 0 || r.body.unread() ||
		r.client.fault.Load() != nil || r.cut.Load() || r.client.server.isStopping()
}

// fields appends those of a header whose name has a prefix, without that.
func (r *reply) fields(h http.Header, prefix string) {
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
func (r *reply) field(name, value string) {
	if !httpguts.ValidHeaderFieldValue(value) {
		return
	}
	r.append(name)
	r.append(": ")
	r.append(value)
	r.append("\r\n")
}

// append holds a text back for later.
func (r *reply) append(text string) {
	for len(text) > 0 && r.err == nil {
		if r.held == nil {
			r.held, r.n = replyBuffers.get(), 0
		}
		n := copy(r.held.bytes[r.n:], text)
		if r.n += n; n < len(text) {
			r.send(nil)
		}
		text = text[n:]
	}
}

// Write implements http.ResponseWriter.
func (r *reply) Write(p []byte) (int, error) {
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
	if r.held != nil && len(p) <= len(r.held.bytes)-r.n {
		r.n += copy(r.held.bytes[r.n:], p)
	} else {
		r.send(p)
	}
	if r.chunked {
		r.append("\r\n")
	}
	return len(p), r.err
}

// send sends what is held, and more.
func (r *reply) send(more []byte) {
	var pieces net.Buffers
	if r.held != nil {
		pieces = append(pieces, r.held.bytes[:r.n])
	}
	if len(more) > 0 {
		pieces = append(pieces, more)
	}
	if r.err == nil {
		switch len(pieces) {
		case 0:
		case 1:
			_, r.err = r.client.Write(pieces[0])
		default:
			_, r.err = pieces.WriteTo(r.client.Conn)
		}
	}
	r.release()
}

// release lets the buffer go, and what is in it.
func (r *reply) release() {
	if r.held != nil {
		r.held.put()
		r.held = nil
	}
}

// FlushError lets http.ResponseController flush.
func (r *reply) FlushError() error {
	r.WriteHeader(http.StatusOK)
	r.send(nil)
	return r.err
}

// finish ends the answer and tells whether the connection can be used again.
func (r *reply) finish() bool {
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
func (r *reply) SetReadDeadline(t time.Time) error { return r.client.SetReadDeadline(t) }

// SetWriteDeadline lets http.ResponseController set it; the connection ends with the request.
func (r *reply) SetWriteDeadline(t time.Time) error {
	r.cut.Store(true)
	return r.client.SetWriteDeadline(t)
}

// EnableFullDuplex lets http.ResponseController ask for what is always so.
func (r *reply) EnableFullDuplex() error { return nil }

// expectBody prepares for reading the request's body.
func (r *reply) expectBody() {
	_ = r.client.SetReadDeadline(time.Time{}) // fails on a connection that has ended, as reading does
	r.body = &clientBody{ReadCloser: r.request.Body, reply: r, asked: r.request.Header.Get("Expect") == ""}
	r.request.Body = r.body
}

// clientBody is the body of a request of HTTP/1.
type clientBody struct {
	io.ReadCloser
	reply *reply
	asked bool // the client sends it, or has been told to
	n     int64
	ended atomic.Bool // all of it was read
}

// Read asks a client for the body that waits for that.
func (b *clientBody) Read(p []byte) (int, error) {
	if !b.asked {
		b.asked = true
		b.reply.proceed()
	}
	n, err := b.ReadCloser.Read(p)
	if b.n += int64(n); err == io.EOF || b.n == b.reply.request.ContentLength {
		b.ended.Store(true)
	}
	return n, err
}

func (b *clientBody) unread() bool { return b != nil && !b.ended.Load() }

// isHere tells whether a body of a length has arrived as a whole.
func (b *clientBody) isHere(length int64) bool {
	return length > 0 && b.asked && int64(b.reply.client.reader.Buffered()) >= length
}

// proceed sends 100 Continue, unless the answer has begun.
func (r *reply) proceed() {
	r.interim.Lock()
	defer r.interim.Unlock()
	if !r.begun {
		_, _ = io.WriteString(r.client.Conn, "HTTP/1.1 100 Continue\r\n\r\n") // if it fails, so does reading
	}
}
