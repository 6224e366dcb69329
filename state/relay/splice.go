package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bufferSize is how much of a connection's bytes is held in each direction. A reader that is slow stops its own writer only.
	bufferSize = 16 << 10
	// halfClosedIdle is how long a connection may be silent that one side has closed for writing: whoever went away completely looks the
	// same. Open connections may be silent for ever.
	halfClosedIdle = 10 * time.Minute
)

// errSilent ends a connection that was half closed and silent.
var errSilent = errors.New("half closed, and silent for too long")

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Splice carries bytes between two connections until both directions have ended, one fails, or ctx ends. The end of one direction is
// passed on as such. It closes both connections; after a failure a TCP connection is reset.
func Splice(ctx context.Context, a, b net.Conn) {
	l := &link{a: a, b: b}
	stop := context.AfterFunc(ctx, l.fail)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { l.carry(a, b) })
	l.carry(b, a)
	both.Wait()
	if !l.failed.Load() {
		_, _ = a.Close(), b.Close()
	}
}

// link is a pair of connections.
type link struct {
	a, b       net.Conn
	halfClosed atomic.Bool
	failed     atomic.Bool
}

// fail ends both connections at once.
func (l *link) fail() {
	if !l.failed.Swap(true) {
		Abort(l.a)
		Abort(l.b)
	}
}

// Abort closes a connection, a TCP connection with a reset: its peer must not take what it has for all there is.
func Abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// carry carries the bytes of one direction, and its end.
func (l *link) carry(to, from net.Conn) {
	err := l.copy(to, from)
	if err == nil {
		err = closeWrite(to)
	}
	if err != nil {
		l.fail()
		return
	}
	if !l.halfClosed.Swap(true) {
		_ = to.SetReadDeadline(time.Now().Add(halfClosedIdle)) // the other direction may be waiting in a read
	}
}

func (l *link) copy(to, from net.Conn) error {
	buffer := buffers.Get().(*[bufferSize]byte) //nolint:forcetypeassert // nothing else is put there
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
			if l.halfClosed.Load() {
				if err := from.SetReadDeadline(time.Now().Add(halfClosedIdle)); err != nil {
					return err
				}
			}
		}
		var timeout net.Error
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &timeout) && timeout.Timeout():
			return errSilent
		case err != nil:
			return err
		}
	}
}

// closeWrite closes one direction of a connection. A connection that can't is closed.
func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return conn.Close()
}
