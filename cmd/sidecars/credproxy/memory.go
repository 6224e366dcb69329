package credproxy

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// The memory of a container (256 MiB) is shared out as follows. What every client needs is bounded by numbers:
// maxConnections, maxExchanges, maxHTTP2. What a client may need more than others is taken out of spare, and a client for
// which nothing is left is refused: so a small request is served whatever others hold.
const (
	// spareMemory is what all clients together may hold beyond their ordinary share, in bytes.
	spareMemory = 48 << 20
	// headerShare is what the header of a request, or of a response, may take without asking for more.
	headerShare = 8 << 10
	// fieldMemory is what a field of a header takes beside its text: in the maps of what was read and what is sent on.
	fieldMemory = 224
	// maxFields bounds the fields of a request's header.
	maxFields = 256
	// stallMemory is what an exchange may hold whose client does not read: the window of an HTTP/2 stream.
	stallMemory = streamBuffer
	// uploadMemory is the most that net/http takes for sending a body over HTTP/2, and uploadShare what it may without
	// asking for more.
	uploadMemory = 512 << 10
	uploadShare  = 4 << 10
)

var errNoMemory = errors.New("too much memory is in use; come again, or send less")

// spare is the process's one budget.
var spare = newBudget(spareMemory)

// budget is a number of bytes that many may take from.
type budget struct {
	total int64
	used  atomic.Int64
}

func newBudget(total int64) *budget { return &budget{total: total} }

// take reports whether there was enough left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.total {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// share is what one exchange has taken from spare.
type share struct{ taken atomic.Int64 }

// take takes more, or returns errNoMemory.
func (s *share) take(n int64) error {
	if n <= 0 {
		return nil
	}
	if !spare.take(n) {
		return errNoMemory
	}
	s.taken.Add(n)
	return nil
}

// give gives a part back.
func (s *share) give(n int64) {
	s.taken.Add(-n)
	spare.give(n)
}

// giveBack gives all of it back.
func (s *share) giveBack() {
	if n := s.taken.Swap(0); n > 0 {
		spare.give(n)
	}
}

// headerMemory returns what a header takes, and the number of its fields. Its text is held twice: as it was read, and as it
// is sent on.
func headerMemory(h http.Header) (memory int64, fields int) {
	for name, values := range h {
		for _, value := range values {
			memory += 2 * int64(len(name)+len(value))
		}
		fields += len(values)
	}
	return memory + int64(fields)*fieldMemory, fields
}
