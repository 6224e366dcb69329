package supervise

import (
	"context"
	"sync"
	"time"
)

// Limits on the memory that clients, which may be hostile, can take: on connections, on the cost of their headers, on
// requests processed concurrently, on waiting calls, and on the size of each.
const (
	// maxConnections is far more than an agent and its tools have.
	maxConnections = 128
	// headersCost limits the memory of their requests' headers, in bytes.
	headersCost = 16 << 20
	// maxActive limits the requests that are read and processed concurrently. A call that waits for a human is not active.
	maxActive = 4
	// maxWaiting limits the calls that wait for a human. Calls that share a proposal count one by one.
	maxWaiting = 64
	// maxBodyBytes leaves room for the largest proposal, escaped.
	maxBodyBytes = 512 << 10
	// maxBatch is how many messages a body may hold: clients of 2025-03 may put several into one.
	maxBatch = 16
	// Rate limit of new proposals: one every proposalInterval, with bursts of proposalBurst.
	proposalInterval = 10 * time.Second
	proposalBurst    = 32
)

// timing holds the timeouts of a client. Tests have shorter ones.
type timing struct {
	keepAlive time.Duration // interval of the keep-alives of a waiting call
	wait      time.Duration // how long a call waits for a human, unless its client asks for progress
	read      time.Duration // timeout of reading a request, and of waiting for a slot
	write     time.Duration // timeout of each write of a response
}

var defaultTiming = timing{
	// Well below the one to five minutes after which clients and proxies close a silent connection.
	keepAlive: 15 * time.Second,
	// The SDKs' clients give up after 60 s.
	wait:  50 * time.Second,
	read:  10 * time.Second,
	write: 30 * time.Second,
}

// slots is a semaphore: a request is processed only while it holds a slot.
type slots chan struct{}

// acquire waits for a slot, at most as long as patience. The function it returns releases the slot; further calls do nothing.
func (s slots) acquire(ctx context.Context, patience time.Duration) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s <- struct{}{}:
		return sync.OnceFunc(func() { <-s }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
