package http1

import (
	"sync"
	"sync/atomic"
)

// Exchange is the part of a request's state that other goroutines observe, and the means to end it. Its zero value is ready
// for use.
type Exchange struct {
	// Writes and Uploads are the pieces of a body that are being sent to the client, and to an upstream.
	Writes, Uploads Steps

	moved atomic.Bool // something was sent or received

	mu    sync.Mutex
	ended bool
	cause error
	abort func()
}

// Touch notes that something was sent or received.
func (x *Exchange) Touch() { x.moved.Store(true) }

// Moved reports whether Touch was called since the last call of Moved.
func (x *Exchange) Moved() bool { return x.moved.Swap(false) }

// WaitFor registers how to abort what the exchange waits for; nil for nothing. If the exchange has been canceled, abort is
// called at once.
func (x *Exchange) WaitFor(abort func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.abort = abort
	if x.cause != nil && abort != nil {
		abort()
	}
}

// Abort aborts what the exchange waits for, without canceling the exchange.
func (x *Exchange) Abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.abort != nil {
		x.abort()
	}
}

// Cancel ends the exchange early for a cause: what it waits for is aborted, and then is called. Nothing happens, and then is
// not called, if the exchange was canceled before or has ended.
func (x *Exchange) Cancel(cause error, then func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || x.cause != nil {
		return
	}
	x.cause = cause
	if x.abort != nil {
		x.abort()
	}
	then()
}

// Err returns the cause with which the exchange was canceled; nil if it was not.
func (x *Exchange) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cause
}

// End notes that the exchange has ended. When it returns, no Cancel is under way, and later ones do nothing: its connections
// may be another exchange's by then.
func (x *Exchange) End() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended, x.abort = true, nil
}

// Steps counts the beginnings and ends of an operation that may block.
type Steps struct {
	n    atomic.Uint32
	last uint32 // of the last call of Stalled
}

// Begin notes that the operation begins.
func (s *Steps) Begin() { s.n.Add(1) }

// End notes that the operation has ended.
func (s *Steps) End() { s.n.Add(1) }

// Stalled reports whether the operation has been blocked since the last call. Only one goroutine may call it.
func (s *Steps) Stalled() bool {
	n := s.n.Load()
	stalled := n%2 == 1 && n == s.last
	s.last = n
	return stalled
}
