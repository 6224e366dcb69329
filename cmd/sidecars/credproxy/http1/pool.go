package http1

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// PoolOptions are the limits of a Pool.
type PoolOptions struct {
	MaxIdle        int           // connections that are kept
	IdleTimeout    time.Duration // how long each is kept
	MaxHeaderBytes int64         // of a response
	Budget         *Budget
	Shared         *IdleLimit // bounds the idle connections of several pools together
}

// IdleLimit bounds the idle connections of several pools together.
type IdleLimit struct {
	Max int64
	n   atomic.Int64
}

// Pool keeps the idle connections to one upstream. They are not shared between pools, so that those of one upstream can be
// closed alone.
type Pool struct {
	options PoolOptions

	mu     sync.Mutex
	idle   []*UpstreamConn // the last one was used last
	timer  *time.Timer     // closes what has been idle for too long; nil when nothing is
	closed bool            // nothing is kept any more
}

// NewPool returns an empty pool.
func NewPool(options PoolOptions) *Pool { return &Pool{options: options} }

// Get returns the idle connection that was used last; nil for none. Connections that the upstream has closed, or has sent
// anything on, are closed instead: what came would be taken for the response to the next request.
func (p *Pool) Get() *UpstreamConn {
	for {
		conn := p.pop()
		if conn == nil || conn.quiet() {
			return conn
		}
		_ = conn.Close() // nothing is under way on it
	}
}

func (p *Pool) pop() *UpstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	conn := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	p.options.Shared.n.Add(-1)
	return conn
}

// Put keeps a connection for another request. If there is no room for it, it is closed.
func (p *Pool) Put(conn *UpstreamConn) {
	conn.idleSince = time.Now()
	if !p.keep(conn) {
		_ = conn.Close() // nothing is under way on it
	}
}

func (p *Pool) keep(conn *UpstreamConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.options.MaxIdle || p.options.Shared.n.Load() >= p.options.Shared.Max {
		return false
	}
	p.idle = append(p.idle, conn)
	p.options.Shared.n.Add(1)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.options.IdleTimeout, p.expire)
	}
	return true
}

// expire closes the connections that have been idle for too long.
func (p *Pool) expire() {
	p.mu.Lock()
	var old []*UpstreamConn
	p.idle = slices.DeleteFunc(p.idle, func(c *UpstreamConn) bool {
		expired := p.closed || time.Since(c.idleSince) >= p.options.IdleTimeout
		if expired {
			old = append(old, c)
		}
		return expired
	})
	p.options.Shared.n.Add(-int64(len(old)))
	if p.timer = nil; len(p.idle) > 0 {
		p.timer = time.AfterFunc(p.options.IdleTimeout/2, p.expire)
	}
	p.mu.Unlock()
	for _, conn := range old {
		_ = conn.Close() // nothing is under way on it
	}
}

// Close closes the idle connections, and the others as soon as they are idle.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.expire()
}
