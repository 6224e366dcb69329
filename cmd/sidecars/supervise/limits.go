package supervise

import (
	"context"
	"sync"
	"time"
)

// What a client, which may be hostile, can take of the sidecar's memory is bounded in five ways: by the number of
// connections, by what their headers cost, by how many requests are worked on at once, by how many calls wait, and by the
// size of each.
const (
	// maxConnections is far more than an agent and its tools have.
	maxConnections = 128
	// headersCost is for the headers of their requests, in bytes.
	headersCost = 16 << 20
	// maxActive requests are read and worked on at once. A call that waits for a human is not active.
	maxActive = 4
	// maxWaiting calls wait for a human at once, those for the same proposal counted one by one.
	maxWaiting = 64
	// maxBodyBytes leaves room for the largest proposal, escaped.
	maxBodyBytes = 512 << 10
	// maxBatch is how many messages a body may hold: clients of 2025-03 may put several into one.
	maxBatch = 16
	// A new proposal every proposalInterval on average, proposalBurst at once.
	proposalInterval = 10 * time.Second
	proposalBurst    = 32
)

// timing is how long a client may take. The tests' clients have less.
type timing struct {
	keepAlive time.Duration // between two signs of life of a waiting call
	read      time.Duration // for a request; also how long it waits for its turn
	write     time.Duration // for every write of a response
}

var defaultTiming = timing{
	// Well below the minute or five after which clients and what lies between give up a silent connection.
	keepAlive: 15 * time.Second,
	read:      10 * time.Second,
	write:     30 * time.Second,
}

// turns hands out the right to be worked on.
type turns chan struct{}

// take waits for a turn, but no longer than patience. The function it returns gives the turn back, once.
func (t turns) take(ctx context.Context, patience time.Duration) (giveBack func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case t <- struct{}{}:
		return sync.OnceFunc(func() { <-t }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
