package credproxy

import (
	"net/http"
	"sync/atomic"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
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

// spare is the process's one budget.
var spare = http1.NewBudget(spareMemory)

// share is what one exchange has taken from spare.
type share struct{ taken atomic.Int64 }

// take takes more, or returns http1.ErrNoMemory.
func (s *share) take(n int64) error {
	if n <= 0 {
		return nil
	}
	if !spare.Take(n) {
		return http1.ErrNoMemory
	}
	s.taken.Add(n)
	return nil
}

// give gives a part back.
func (s *share) give(n int64) {
	s.taken.Add(-n)
	spare.Give(n)
}

// giveBack gives all of it back.
func (s *share) giveBack() {
	if n := s.taken.Swap(0); n > 0 {
		spare.Give(n)
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
