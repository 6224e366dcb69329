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

// requestBody is the client's body as it is sent to the upstream, which may go on when the exchange has ended. A nil
// requestBody is that of a request without one.
type requestBody struct {
	from   io.Reader
	length int64 // -1 when it is not known
	most   int64
	life   *life

	reading sync.Mutex // held while something is read
	read    atomic.Int64
	ended   atomic.Bool // all of it was read
	large   atomic.Bool
	left    atomic.Bool
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.left.Load() {
		return 0, errBodyLeft
	}
	n, err := b.from.Read(p)
	total := b.read.Add(int64(n))
	if n > 0 {
		b.life.touch()
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

// Close implements io.Closer. The body is left, not closed, when the exchange has ended: closing it would read it to its
// end.
func (b *requestBody) Close() error { return nil }

// leave ends the use of what the client sends. A read that waits for it must have a deadline.
func (b *requestBody) leave() {
	b.left.Store(true)
	b.reading.Lock() // until a read has returned
	defer b.reading.Unlock()
}

// isHere tells whether all of it has arrived, so that reading it does not wait.
func (b *requestBody) isHere() bool {
	from, ok := b.from.(*clientBody)
	return ok && from.isHere(b.length)
}

func (b *requestBody) unread() bool   { return b != nil && !b.ended.Load() }
func (b *requestBody) tooLarge() bool { return b != nil && b.large.Load() }

func (b *requestBody) bytes() int64 {
	if b == nil {
		return 0
	}
	return b.read.Load()
}

// replyBuffers have what is sent to a client at once, if it is small.
var replyBuffers = newBuffers(4 << 10)

// Most streams wait most of the time, with a buffer in hand: it should be a small one. Others are taken from spare.
var bufferPools = []*buffers{newBuffers(1 << 10), newBuffers(4 << 10).takenFrom(spare), newBuffers(32 << 10).takenFrom(spare)}

type buffers struct {
	size int
	pool sync.Pool
	from *budget // nil for none
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

func (b *buffers) takenFrom(from *budget) *buffers {
	b.from = from
	return b
}

// tryGet returns nil when the budget has no room for another buffer.
func (b *buffers) tryGet() *buffer {
	if b.from != nil && !b.from.take(int64(b.size)) {
		return nil
	}
	return b.get()
}

// get is for buffers that are taken from no budget.
func (b *buffers) get() *buffer { return b.pool.Get().(*buffer) } //nolint:forcetypeassert // nothing else is put in

func smallBuffer() *buffer { return bufferPools[0].get() }

func (b *buffer) put() {
	if b.from.from != nil {
		b.from.from.give(int64(b.from.size))
	}
	b.from.pool.Put(b)
}

// fit returns the buffer for the next read: the smallest that the last read would not have filled, if there is memory for
// it.
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
	other := fitting.tryGet()
	if other == nil {
		return b
	}
	b.put()
	return other
}
