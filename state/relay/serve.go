package relay

import (
	"context"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"time"
)

const (
	// dialTimeout is how long a relay tries to connect to a target.
	dialTimeout = 5 * time.Second
	// maxConnections is how many connections a relay carries at once: 32 KiB of buffers each.
	maxConnections = 4096
	// minPause and maxPause bound the backoff of a relay to which no host listens.
	minPause, maxPause = 50 * time.Millisecond, time.Second
)

// DialFunc connects to a target in the bottle.
type DialFunc func(ctx context.Context, target string) (net.Conn, error)

// server is the relay's side.
type server struct {
	dir  string
	dial DialFunc
	// connecting is held by the one that connects to the host: while none listens, one at a time tries again.
	connecting chan struct{}
	slots      chan struct{}
}

// Serve carries the connections of the host that listens in a directory, or will, until ctx ends.
func Serve(ctx context.Context, dir string, dial DialFunc) {
	s := &server{dir: dir, dial: dial, connecting: make(chan struct{}, 1), slots: make(chan struct{}, maxConnections)}
	var all sync.WaitGroup
	for range spares {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, target := s.await(ctx)
				if conn != nil {
					all.Go(func() { s.carry(ctx, conn, target) })
				}
			}
		})
	}
	all.Wait()
}

// await keeps a spare connection until the host names a target in it. nil is for when ctx ended.
func (s *server) await(ctx context.Context) (conn net.Conn, target string) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		select {
		case s.connecting <- struct{}{}:
		case <-ctx.Done():
			return nil, ""
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, SocketName))
		if err != nil {
			sleep(ctx, pause)
		}
		<-s.connecting
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		target, err = readTarget(conn)
		if stop() && err == nil {
			return conn, target
		}
		_ = conn.Close()
		sleep(ctx, minPause) // the host ended, or has enough spare connections
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + rand.N(d)): //nolint:gosec // jitter is no secret
	}
}

// carry connects to a target, answers, and carries the connection until it ends.
func (s *server) carry(ctx context.Context, conn net.Conn, target string) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		_, _ = conn.Write([]byte{answerOf(ErrBusy)})
		_ = conn.Close()
		return
	}
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	to, err := s.dial(dial, target)
	cancel()
	if _, failed := conn.Write([]byte{answerOf(err)}); err != nil || failed != nil {
		_ = conn.Close()
		if err == nil {
			Abort(to)
		}
		return
	}
	Splice(ctx, conn, to)
}
