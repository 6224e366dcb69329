package http1

import (
	"errors"
	"sync"
	"sync/atomic"
)

// ErrNoMemory is the reason for refusing what the budget has no room for.
var ErrNoMemory = errors.New("too much memory is in use; come again, or send less")

// Budget bounds, in bytes, the memory that all connections together take beyond their ordinary share: for large headers and
// for copy buffers of more than a kilobyte.
type Budget struct {
	total int64
	used  atomic.Int64
	pools [3]*buffers // by size
}

// NewBudget returns a budget of a number of bytes.
func NewBudget(total int64) *Budget {
	b := &Budget{total: total}
	// Most streams wait most of the time, holding a buffer: it should be a small one.
	for i, size := range [...]int{1 << 10, 4 << 10, 32 << 10} {
		b.pools[i] = newBuffers(size)
		b.pools[i].budget = b
	}
	return b
}

// Take reserves n bytes and reports whether there was room for them.
func (b *Budget) Take(n int64) bool {
	if b.used.Add(n) <= b.total {
		return true
	}
	b.used.Add(-n)
	return false
}

// Give returns n reserved bytes.
func (b *Budget) Give(n int64) { b.used.Add(-n) }

// Used returns the number of reserved bytes.
func (b *Budget) Used() int64 { return b.used.Load() }

// Buffer returns a copy buffer of the smallest size, which the budget is not charged for.
func (b *Budget) Buffer() *Buffer { return b.pools[0].get() }

// responseBuffers hold small responses until they are sent at once.
var responseBuffers = newBuffers(4 << 10)

// headBuffers hold a request's header, and its body if that is small.
var headBuffers = newBuffers(8 << 10)

// buffers is a pool of buffers of one size.
type buffers struct {
	size   int
	pool   sync.Pool
	budget *Budget // nil for none
}

// Buffer is a buffer from a pool.
type Buffer struct {
	Bytes []byte
	from  *buffers
}

func newBuffers(size int) *buffers {
	b := &buffers{size: size}
	b.pool.New = func() any { return &Buffer{Bytes: make([]byte, size), from: b} }
	return b
}

func (b *buffers) get() *Buffer { return b.pool.Get().(*Buffer) } //nolint:forcetypeassert // nothing else is put in

// charge returns what a buffer takes from the budget.
func (b *buffers) charge() int64 {
	if b.budget == nil || b == b.budget.pools[0] {
		return 0
	}
	return int64(b.size)
}

// Put returns the buffer to its pool.
func (b *Buffer) Put() {
	if n := b.from.charge(); n > 0 {
		b.from.budget.Give(n)
	}
	b.from.pool.Put(b)
}

// Fit returns the buffer for the next read: the smallest that the last read would not have filled. If the budget has no
// room for it, that is the same buffer.
func (b *Buffer) Fit(read int) *Buffer {
	pools := b.from.budget.pools
	fitting := pools[len(pools)-1]
	for _, pool := range pools {
		if read < pool.size {
			fitting = pool
			break
		}
	}
	if fitting == b.from {
		return b
	}
	if n := fitting.charge(); n > 0 && !b.from.budget.Take(n) {
		return b
	}
	b.Put()
	return fitting.get()
}
