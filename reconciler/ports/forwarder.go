package ports

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/bottled/state/relay"
)

const (
	// maxPerPort is how many connections one port may have: more than a browser or a load test needs, and few enough for one not to use up
	// what there is for all.
	maxPerPort = 2048
	// acceptPause is how long a port rests that can't accept, for want of descriptors.
	acceptPause = 100 * time.Millisecond
)

// Budget bounds the connections of several ports together.
type Budget struct {
	max  int64
	open atomic.Int64
}

// NewBudget returns a budget of so many connections at once.
func NewBudget(most int64) *Budget { return &Budget{max: most} }

func (b *Budget) acquire() bool {
	if b.open.Add(1) <= b.max {
		return true
	}
	b.release()
	return false
}

func (b *Budget) release() { b.open.Add(-1) }

// Forwarder serves the clients of one port.
type Forwarder struct {
	Socket net.Listener
	// Dial connects to the agent, for one client.
	Dial   func(ctx context.Context) (net.Conn, error)
	Budget *Budget
	// Refused is called with the reason why a client was turned away.
	Refused func(error)
}

// Run serves clients until ctx ends or the socket fails. Then it ends all connections.
func (f *Forwarder) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = f.Socket.Close() })()
	slots := make(chan struct{}, maxPerPort)
	for {
		client, err := f.Socket.Accept()
		switch {
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			if err == nil {
				relay.Abort(client)
			}
			return
		case err != nil:
			f.Refused(err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		// Whoever is too many is turned away at once: one that waits can't be told from one that is served.
		select {
		case slots <- struct{}{}:
		default:
			f.refuse(ctx, client, relay.ErrBusy)
			continue
		}
		all.Go(func() {
			defer func() { <-slots }()
			f.serve(ctx, client)
		})
	}
}

func (f *Forwarder) serve(ctx context.Context, client net.Conn) {
	if !f.Budget.acquire() {
		f.refuse(ctx, client, relay.ErrBusy)
		return
	}
	defer f.Budget.release()
	agent, err := f.Dial(ctx)
	if err != nil {
		f.refuse(ctx, client, err)
		return
	}
	relay.Splice(ctx, client, agent)
}

// refuse resets a client's connection: one that ends in good order would be an empty answer.
func (f *Forwarder) refuse(ctx context.Context, client net.Conn, why error) {
	relay.Abort(client)
	if ctx.Err() == nil {
		f.Refused(why)
	}
}
