package pipelock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

const copyBytes = 16 << 10

// checkConnect makes the decisions about a tunnel that need no name resolution.
func (p *proxy) checkConnect(r *http.Request, x *exchange) (err error) {
	if err := p.checkURL(r, x); err != nil {
		return err
	}
	if x.target, err = connectTarget(r); err != nil {
		return err
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return malformed("CONNECT with a body")
	}
	if err := p.admitConnect(x); err != nil {
		return err
	}
	return p.checkName(r, x)
}

// admitConnect admits a tunnel for TLS, or one for plain HTTP only, as clients open that send every request through a tunnel. The latter
// opens nothing that a plain request can't reach. It is limited to where no TLS is expected: elsewhere a client learns at once that the
// port is closed.
func (p *proxy) admitConnect(x *exchange) error {
	err := p.admit(x, true)
	if err != nil && (x.target.port == httpPort || pipelockconf.IsOwnName(x.target.host)) {
		return p.admit(x, false)
	}
	return err
}

// serveConnect opens a tunnel. An error means that nothing was answered yet.
func (p *proxy) serveConnect(w http.ResponseWriter, r *http.Request, x *exchange) error {
	if err := p.checkConnect(r, x); err != nil {
		return err
	}
	release, err := p.reserve(r.Context(), tunnelCost)
	if err != nil {
		return err
	}
	defer release()
	var upstream halfCloser = nowhere{}
	if x.grant.tunnel {
		if upstream, err = p.dialTunnel(r.Context(), x); err != nil {
			return err
		}
	}
	defer upstream.Close()
	client, buffered, err := hijack(w)
	if err != nil {
		return err
	}
	// Closing is what interrupts reads and writes under way.
	stop := context.AfterFunc(x.revoked, func() { _ = errors.Join(client.Close(), upstream.Close()) })
	x.action, x.status = actionAllow, http.StatusOK
	if p.serveTunnel(x, client, buffered, upstream) && stop() {
		p.serveInside(x, client, buffered)
		return nil
	}
	stop()
	_ = client.Close()
	if refused := x.refused.Load(); refused != nil {
		x.deny(refused)
	}
	return nil
}

// dialTunnel connects to the target of CONNECT, unless the exchange is revoked meanwhile.
func (p *proxy) dialTunnel(ctx context.Context, x *exchange) (halfCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.revoked, cancel)()
	upstream, err := p.dial(ctx, x.policy, x.target)
	if err != nil {
		return nil, err
	}
	if err := p.connected(x, upstream.RemoteAddr()); err != nil {
		return nil, errors.Join(err, upstream.Close())
	}
	return upstream, nil
}

// serveTunnel serves a tunnel for TLS until it ends. If the client speaks HTTP instead, it returns true at once.
func (p *proxy) serveTunnel(x *exchange, client halfCloser, buffered *bufio.Reader, upstream halfCloser) (plain bool) {
	_, err := io.WriteString(client, "HTTP/1.1 200 Connection Established\r\n\r\n")
	if err == nil {
		err = client.SetReadDeadline(time.Now().Add(p.helloTime))
	}
	if err != nil {
		x.reason = "client gone"
		return false
	}
	if beginsRequest(buffered) {
		return true
	}
	counted := &countedHello{Reader: buffered, budget: p.buffers}
	defer counted.release()
	hello, err := readHello(client, counted)
	if err == nil && !x.grant.tunnel {
		err = closedPort(x.target)
	}
	if err == nil {
		err = hello.check(x.target)
	}
	if err != nil {
		refused := &refusal{code: audit.CodeMalformed, reason: err.Error()}
		errors.As(err, &refused)
		x.deny(refused)
		_, _ = client.Write(accessDenied) // the client may have gone
		return false
	}
	x.reason = tunnel(x, client, io.MultiReader(bytes.NewReader(hello.raw), buffered), upstream)
	return false
}

// hijack takes over the client's connection, with the data that it sent before the answer.
func hijack(w http.ResponseWriter) (halfCloser, *bufio.Reader, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	client, ok := conn.(halfCloser)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("a %T can't be half-closed", conn), conn.Close())
	}
	return client, rw.Reader, client.SetDeadline(time.Time{})
}

// tunnel copies in both directions until both have ended, one has failed, the time is up, or the exchange is revoked. It returns the reason;
// "" for the regular end.
func tunnel(x *exchange, client halfCloser, fromClient io.Reader, upstream halfCloser) string {
	ctx, end := context.WithTimeoutCause(x.revoked, time.Until(x.start.Add(x.policy.tunnelTime)),
		errors.New("tunnel reached max_tunnel_seconds"))
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idleTimer := newIdle(x.policy.idleTime, func() { cancel(errors.New("tunnel reached idle_timeout_seconds")) })
	defer idleTimer.stop()
	// Closing is what interrupts reads and writes under way.
	stop := context.AfterFunc(ctx, func() { _ = errors.Join(client.Close(), upstream.Close()) })
	defer stop()

	done := make(chan error, 2)
	go func() { done <- copyOneWay(ctx, upstream, fromClient, &x.sent, idleTimer) }()
	go func() { done <- copyOneWay(ctx, client, upstream, &x.received, idleTimer) }()
	var failed error
	for range 2 {
		if err := <-done; err != nil && failed == nil {
			failed = err
			cancel(broken(err, client.RemoteAddr()))
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errClientGone) {
		return cause.Error()
	}
	return ""
}

// errClientGone is a regular end of a tunnel: a client that closes while data is in flight to it resets the connection.
var errClientGone = errors.New("the client is gone")

func broken(err error, client net.Addr) error {
	var op *net.OpError
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if reset && errors.As(err, &op) && op.Addr != nil && op.Addr.String() == client.String() {
		return errClientGone
	}
	return fmt.Errorf("connection broken: %w", err)
}

// copyOneWay copies until src ends and half-closes dst. The other direction may continue. When ctx ends, nothing more is written.
func copyOneWay(ctx context.Context, dst halfCloser, src io.Reader, count *atomic.Int64, idleTimer *idle) error {
	buf := make([]byte, copyBytes)
	for {
		n, readErr := src.Read(buf)
		idleTimer.touch()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			count.Add(int64(n))
		}
		if errors.Is(readErr, io.EOF) {
			return ignoreClosed(dst.CloseWrite())
		}
		if readErr != nil {
			return readErr
		}
	}
}

// ignoreClosed ignores network errors of CloseWrite: the peer may be gone.
func ignoreClosed(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return nil
	}
	return err
}
