package credproxy

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
)

const (
	// idleTimeout is how long an exchange may go without a byte in either direction. There is no total limit:
	// an agent's stream may last for hours, and a model may think for minutes before its first byte.
	idleTimeout = 15 * time.Minute
	// watchInterval is how often the open exchanges are looked at, and so how long a client that left goes unnoticed.
	watchInterval = 250 * time.Millisecond
	// cancelGrace is how long a client has to take the answer to an exchange that was cancelled.
	cancelGrace = 500 * time.Millisecond
)

var (
	errIdle     = errors.New("nothing was sent or received")
	errStopping = errors.New("cred-proxy is being stopped")
	errStalled  = fmt.Errorf("the client does not read: %w", http1.ErrNoMemory)
)

// watch looks after the open exchanges: it ends one that stands still, or whose client left. One timer for all costs a
// request next to nothing; a timer, or a goroutine that reads from the client, for each would be most of a waiting
// stream's memory.
type watch struct {
	mu    sync.Mutex
	first *exchange // of a list
	timer *time.Timer
}

// add begins to look after an exchange.
func (w *watch) add(x *exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.next = w.first; x.next != nil {
		x.next.previous = x
	}
	w.first = x
	if w.timer == nil {
		w.timer = time.AfterFunc(watchInterval, w.look)
	}
}

// remove ends that. Nothing that the exchange used is touched afterwards: the connection may be another's by then.
func (w *watch) remove(x *exchange) {
	x.life.End()
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.next != nil {
		x.next.previous = x.previous
	}
	if x.previous != nil {
		x.previous.next = x.next
	} else {
		w.first = x.next
	}
	x.next, x.previous = nil, nil
	x.payBack()
}

// look looks at all of them, and comes again while there are any.
func (w *watch) look() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.timer = nil
		return
	}
	for x := w.first; x != nil; x = x.next {
		x.look(now)
	}
	w.timer.Reset(watchInterval)
}

// endAll ends all exchanges.
func (w *watch) endAll(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := w.first; x != nil; x = x.next {
		x.cancel(cause)
	}
}

func (x *exchange) look(now time.Time) {
	switch {
	case x.life.Moved() || x.still.IsZero():
		x.still = now
	case now.Sub(x.still) >= x.idle:
		x.cancel(fmt.Errorf("%w for %s", errIdle, x.idle))
	}
	if x.client != nil && x.client.Left() {
		x.cancel(errClientLeft)
	}
	x.lookStalled()
}

// lookStalled takes memory for an exchange that is held up by its client or, in an upload, its upstream: what comes from
// the other side piles up. It ends one for which there is none.
func (x *exchange) lookStalled() {
	switch stalled := x.life.Writes.Stalled() || x.life.Uploads.Stalled(); {
	case stalled && !x.stallPaid && !spare.Take(stallMemory):
		x.cancel(errStalled)
	case stalled && !x.stallPaid:
		x.stallPaid = true
	case !stalled && x.stallPaid:
		x.payBack()
	}
}

func (x *exchange) payBack() {
	if x.stallPaid {
		spare.Give(stallMemory)
		x.stallPaid = false
	}
}

// cancel ends an exchange early, for a cause. What is blocked in it wakes up: the upstream's side at once, the
// client's in time for an error response, if the client reads.
func (x *exchange) cancel(cause error) {
	x.life.Cancel(cause, func() {
		client, soon := http.NewResponseController(x.w.ResponseWriter), time.Now().Add(cancelGrace)
		_ = errors.Join(client.SetReadDeadline(soon), client.SetWriteDeadline(soon)) // both servers can do it
	})
}
