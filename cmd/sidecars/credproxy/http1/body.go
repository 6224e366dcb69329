package http1

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	// ErrBodyTooLarge ends the reading of a body that is larger than its limit.
	ErrBodyTooLarge = errors.New("the request's body is too large")
	errBodyLeft     = errors.New("the request has been answered")
)

// Body is a request's body on its way to the upstream, which may go on reading when the exchange has ended. The nil Body is
// that of a request without one.
type Body struct {
	from     io.Reader
	length   int64 // -1 when it is not known
	most     int64
	exchange *Exchange

	reading sync.Mutex // held while something is read
	read    atomic.Int64
	ended   atomic.Bool // all of it was read
	large   atomic.Bool
	left    atomic.Bool
}

// NewBody returns the body of a request, which may be of any version of HTTP, limited to a number of bytes.
func NewBody(r *http.Request, limit int64, x *Exchange) *Body {
	return &Body{from: r.Body, length: r.ContentLength, most: limit, exchange: x}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.left.Load() {
		return 0, errBodyLeft
	}
	n, err := b.from.Read(p)
	total := b.read.Add(int64(n))
	if n > 0 {
		b.exchange.Touch()
	}
	if err == io.EOF || total == b.length {
		b.ended.Store(true)
	}
	if total > b.most {
		b.large.Store(true)
		return 0, ErrBodyTooLarge
	}
	return n, err
}

// Close implements io.Closer. The body is left, not closed, when the exchange has ended: closing it would read it to its
// end.
func (b *Body) Close() error { return nil }

// Abandon ends the reading from the client: later reads fail. A read in progress must have a deadline, and is waited for.
func (b *Body) Abandon() {
	b.left.Store(true)
	b.reading.Lock() // until a read has returned
	defer b.reading.Unlock()
}

// isHere reports whether all of it has arrived, so that reading it does not wait.
func (b *Body) isHere() bool {
	from, ok := b.from.(*clientBody)
	return ok && from.isHere(b.length)
}

// Unread reports whether some of the body has not been read.
func (b *Body) Unread() bool { return b != nil && !b.ended.Load() }

// TooLarge reports whether more than the limit came.
func (b *Body) TooLarge() bool { return b != nil && b.large.Load() }

// Bytes returns the number of bytes that were read.
func (b *Body) Bytes() int64 {
	if b == nil {
		return 0
	}
	return b.read.Load()
}
