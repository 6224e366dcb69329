package credproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// maxDials is how often a connection is made for one request, when others take it away.
const maxDials = 4

// errHTTP1 is the outcome of a dial for HTTP/2 to an upstream that speaks HTTP/1.1: the connection is among the idle
// ones now.
var errHTTP1 = errors.New("the upstream speaks HTTP/1.1")

// upstreams makes requests through pipelock and keeps the connections. What speaks HTTP/1.1 is served in the
// exchange's own goroutine, HTTP/2 by net/http.
type upstreams struct {
	dialer dialer
	http2  *http.Transport

	mu     sync.Mutex
	idle   map[string][]*upstreamConn // by origin; the last one was used last
	count  int                        // of idle ones
	timer  *time.Timer                // closes what has been idle for too long; nil when nothing is
	closed bool
}

func newUpstreams(pipelock *url.URL, roots *x509.CertPool) *upstreams {
	u := &upstreams{idle: map[string][]*upstreamConn{}}
	u.dialer = dialer{
		pipelock: net.JoinHostPort(pipelock.Hostname(), portOf(pipelock)),
		tls:      &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
	u.http2 = newTransport(u.dialHTTP2)
	return u
}

// roundTrip returns the final response. Its body must be closed.
func (u *upstreams) roundTrip(x *exchange, out *http.Request) (*http.Response, error) {
	for range maxDials {
		conn, err := u.take(x, out.URL)
		if err == nil && conn == nil {
			resp, err := u.roundTripHTTP2(x, out)
			if errors.Is(err, errHTTP1) {
				continue
			}
			return resp, err
		}
		if err != nil {
			return nil, err
		}
		reused := conn.reused
		resp, err := conn.roundTrip(x, out)
		if err == nil || !reused || !conn.silent || !mayRepeat(x, out) {
			return resp, err
		}
	}
	return nil, errors.New("the upstream ends every connection before it answers")
}

// mayRepeat tells whether a request that got no byte of an answer, on a connection that had been idle, may be made
// again: that it is safe to (RFC 9110, section 9.2.2), and nobody has ended the exchange.
func mayRepeat(x *exchange, out *http.Request) bool {
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return out.Body == nil && x.life.why() == nil
	}
	return false
}

func (u *upstreams) roundTripHTTP2(x *exchange, out *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.Background())
	x.life.waitsFor(abortFunc(cancel))
	resp, err := u.http2.RoundTrip(out.WithContext(ctx))
	if err != nil {
		cancel()
	}
	return resp, err
}

// dialHTTP2 is the transport's dialer.
func (u *upstreams) dialHTTP2(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := u.dialer.secure(ctx, address)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, nil
	}
	u.put("https://"+address, newUpstreamConn(u, "https://"+address, conn, conn.NetConn()))
	return nil, errHTTP1
}

// take returns an idle connection of HTTP/1.1 to an upstream, or a new one. There is none, and no error, if the way is
// HTTP/2, or that has to be found out.
func (u *upstreams) take(x *exchange, to *url.URL) (*upstreamConn, error) {
	key := originKey(to)
	for {
		conn := u.pop(key)
		switch {
		case conn != nil && conn.quiet():
			return conn, nil
		case conn != nil:
			_ = conn.Close() // nothing is under way on it
			continue
		case to.Scheme == "https":
			return nil, nil
		}
		return u.dialPlain(x, key)
	}
}

// dialPlain dials in a goroutine of its own: dialing takes a large stack, which a stream would keep.
func (u *upstreams) dialPlain(x *exchange, key string) (*upstreamConn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.life.waitsFor(abortFunc(cancel))
	var conn net.Conn
	var err error
	dialed := make(chan struct{})
	go func() {
		defer close(dialed)
		conn, err = u.dialer.plain(ctx)
	}()
	<-dialed
	if err != nil {
		return nil, err
	}
	return newUpstreamConn(u, key, conn, conn), nil
}

func (u *upstreams) pop(key string) *upstreamConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	conns := u.idle[key]
	if len(conns) == 0 {
		return nil
	}
	last := len(conns) - 1
	conn := conns[last]
	conns[last] = nil
	u.idle[key] = conns[:last]
	u.count--
	return conn
}

// put keeps a connection for another request, if there is room.
func (u *upstreams) put(key string, conn *upstreamConn) {
	conn.idleSince = time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || u.count >= idleUpstream || len(u.idle[key]) >= idlePerUpstream {
		_ = conn.Close() // nothing is under way on it
		return
	}
	u.idle[key] = append(u.idle[key], conn)
	u.count++
	if u.timer == nil {
		u.timer = time.AfterFunc(upstreamIdle, u.expire)
	}
}

// expire closes the connections that have been idle for too long.
func (u *upstreams) expire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, conns := range u.idle {
		kept := slices.DeleteFunc(conns, func(c *upstreamConn) bool {
			old := u.closed || time.Since(c.idleSince) >= upstreamIdle
			if old {
				_ = c.Close() // nothing is under way on it
				u.count--
			}
			return old
		})
		if u.idle[key] = kept; len(kept) == 0 {
			delete(u.idle, key)
		}
	}
	if u.timer = nil; u.count > 0 {
		u.timer = time.AfterFunc(upstreamIdle/2, u.expire)
	}
}

// close closes the idle connections, and the others as soon as they are idle.
func (u *upstreams) close() {
	u.mu.Lock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
	}
	u.mu.Unlock()
	u.expire()
	u.http2.CloseIdleConnections()
}

// originKey is a scheme and an address, host:port.
func originKey(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), portOf(u))
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
