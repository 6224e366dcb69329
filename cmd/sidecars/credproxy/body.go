package credproxy

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

var (
	errBodyTooLarge = errors.New("the request's body is too large")
	errBodyLeft     = errors.New("the request has been answered")
)

// requestBody is the client's body as the transport reads it. The transport may read, and close, it even when
// the exchange has ended. A nil requestBody is that of a request without one.
type requestBody struct {
	from   io.Reader
	length int64 // -1 when it is not known
	most   int64
	watch  *idleWatch

	read  atomic.Int64
	ended atomic.Bool // all of it was read
	large atomic.Bool
	left  atomic.Bool
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.left.Load() {
		return 0, errBodyLeft
	}
	n, err := b.from.Read(p)
	total := b.read.Add(int64(n))
	if n > 0 {
		b.watch.touch()
	}
	if err == io.EOF || total == b.length {
		b.ended.Store(true)
	}
	if total > b.most {
		b.large.Store(true)
		return 0, errBodyTooLarge
	}
	return n, err
}

// Close implements io.Closer. The server closes the client's body when the exchange has ended; to do it earlier
// would wait for a client that waits for "100 Continue".
func (b *requestBody) Close() error { return nil }

func (b *requestBody) close()         { b.left.Store(true) }
func (b *requestBody) unread() bool   { return b != nil && !b.ended.Load() }
func (b *requestBody) tooLarge() bool { return b != nil && b.large.Load() }

func (b *requestBody) bytes() int64 {
	if b == nil {
		return 0
	}
	return b.read.Load()
}

// Most streams wait most of the time, with a buffer in hand: it should be a small one.
var bufferPools = []*buffers{newBuffers(1 << 10), newBuffers(4 << 10), newBuffers(32 << 10)}

type buffers struct {
	size int
	pool sync.Pool
}

type buffer struct {
	bytes []byte
	from  *buffers
}

func newBuffers(size int) *buffers {
	b := &buffers{size: size}
	b.pool.New = func() any { return &buffer{bytes: make([]byte, size), from: b} }
	return b
}

func (b *buffers) get() *buffer { return b.pool.Get().(*buffer) } //nolint:forcetypeassert // nothing else is put in

func smallBuffer() *buffer { return bufferPools[0].get() }

func (b *buffer) put() { b.from.pool.Put(b) }

// fit returns the buffer for the next read: the smallest that the last read would not have filled.
func (b *buffer) fit(read int) *buffer {
	fitting := bufferPools[len(bufferPools)-1]
	for _, pool := range bufferPools {
		if read < pool.size {
			fitting = pool
			break
		}
	}
	if fitting == b.from {
		return b
	}
	b.put()
	return fitting.get()
}
