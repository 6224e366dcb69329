package credproxy

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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
	errStalled  = fmt.Errorf("the client does not read: %w", errNoMemory)
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
	x.life.end()
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
	x.life.payBack()
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
	case x.life.busy.Swap(false) || x.life.still.IsZero():
		x.life.still = now
	case now.Sub(x.life.still) >= x.idle:
		x.cancel(fmt.Errorf("%w for %s", errIdle, x.idle))
	}
	if x.client != nil && x.client.left() {
		x.cancel(errClientLeft)
	}
	x.lookStalled()
}

// lookStalled takes memory for an exchange that is held up by its client or, in an upload, its upstream: what comes from
// the other side piles up. It ends one for which there is none.
func (x *exchange) lookStalled() {
	l := &x.life
	switch stalled := l.writes.stalled() || l.uploads.stalled(); {
	case stalled && !l.stallPaid && !spare.take(stallMemory):
		x.cancel(errStalled)
	case stalled && !l.stallPaid:
		l.stallPaid = true
	case !stalled && l.stallPaid:
		l.payBack()
	}
}

func (l *life) payBack() {
	if l.stallPaid {
		spare.give(stallMemory)
		l.stallPaid = false
	}
}

// steps counts the beginnings and ends of what may be held up.
type steps struct {
	n    atomic.Uint32
	last uint32 // only watch knows
}

func (s *steps) begin() { s.n.Add(1) }
func (s *steps) end()   { s.n.Add(1) }

// stalled reports whether a step has not ended since the last call.
func (s *steps) stalled() bool {
	n := s.n.Load()
	held := n%2 == 1 && n == s.last
	s.last = n
	return held
}

// cancel ends an exchange early, for a cause. What is blocked in it wakes up: the upstream's side at once, the
// client's in time for an error response, if the client reads.
func (x *exchange) cancel(cause error) {
	x.life.mu.Lock()
	defer x.life.mu.Unlock()
	if x.life.ended || x.life.cause != nil {
		return
	}
	x.life.cause = cause
	if x.life.abort != nil {
		x.life.abort.abort()
	}
	client, soon := http.NewResponseController(x.w.ResponseWriter), time.Now().Add(cancelGrace)
	_ = errors.Join(client.SetReadDeadline(soon), client.SetWriteDeadline(soon)) // both servers can do it
}

// life is what is known about an exchange from outside of its goroutine.
type life struct {
	busy  atomic.Bool // something was sent or received
	still time.Time   // since when nothing was; only watch knows
	// Pieces of a body that are being sent to the client, and to an upstream.
	writes, uploads steps
	stallPaid       bool // stallMemory is taken; only watch knows

	mu    sync.Mutex
	ended bool
	cause error
	abort aborter
}

// aborter is what an exchange waits for, and can be made not to.
type aborter interface{ abort() }

type abortFunc func()

func (f abortFunc) abort() { f() }

func (l *life) touch() { l.busy.Store(true) }

// waitsFor says what is to be aborted when the exchange is cancelled; if it has been, that is done now. With nil
// there is nothing any more.
func (l *life) waitsFor(a aborter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abort = a
	if l.cause != nil && a != nil {
		a.abort()
	}
}

// stop aborts what the exchange waits for.
func (l *life) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abort != nil {
		l.abort.abort()
	}
}

func (l *life) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.abort = true, nil
}
