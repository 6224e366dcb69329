package credproxy

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
)

// maxDials bounds the dial attempts for one request, for when other requests take the new connection from the pool.
const maxDials = 4

// errHTTP1 is the outcome of a dial for HTTP/2 to an upstream that speaks HTTP/1.1: the connection is among the idle
// ones now.
var errHTTP1 = errors.New("the upstream speaks HTTP/1.1")

// upstreams makes a route's requests through pipelock and keeps the connections. What speaks HTTP/1.1 is served in the
// exchange's own goroutine, HTTP/2 by net/http. Routes share no connections, so that one route's can be closed.
type upstreams struct {
	dialer *dialer
	http1  *http1.Pool
	http2  *http.Transport

	mu      sync.Mutex
	secured map[*securedConn]struct{}
	severed bool // nothing is open any more
}

func newUpstreams(dialer *dialer) *upstreams {
	u := &upstreams{dialer: dialer, secured: map[*securedConn]struct{}{}}
	u.http1 = http1.NewPool(http1.PoolOptions{
		MaxIdle: idlePerUpstream, IdleTimeout: upstreamIdle, MaxHeaderBytes: maxUpstreamBytes, Budget: spare, Shared: &dialer.idle,
	})
	u.http2 = newTransport(u.dialHTTP2)
	return u
}

// securedConn is the TCP connection below one with TLS, of which net/http may be the owner.
type securedConn struct {
	*net.TCPConn
	of *upstreams
}

// Close implements net.Conn.
func (c *securedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.secured, c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}

// track returns a connection that cut can close; an error when that has happened already.
func (u *upstreams) track(conn *net.TCPConn) (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.severed {
		return nil, errors.Join(errRevoked, conn.Close())
	}
	tracked := &securedConn{conn, u}
	u.secured[tracked] = struct{}{}
	return tracked, nil
}

// roundTrip returns the final response. Its body must be closed.
func (u *upstreams) roundTrip(x *exchange, out *http.Request) (*http.Response, error) {
	for range maxDials {
		conn, err := u.connect(x, out.URL)
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
		resp, err := conn.RoundTrip(&x.life, out)
		if err == nil || !errors.Is(err, http1.ErrStale) || !mayRepeat(x, out) {
			return resp, err
		}
	}
	return nil, errors.New("the upstream ends every connection before it answers")
}

// mayRepeat reports whether a request that got no byte of an answer, on a connection that had been idle, may be made
// again: that it is safe to (RFC 9110, section 9.2.2), and nobody has ended the exchange.
func mayRepeat(x *exchange, out *http.Request) bool {
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return out.Body == nil && x.life.Err() == nil
	}
	return false
}

func (u *upstreams) roundTripHTTP2(x *exchange, out *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.Background())
	x.life.WaitFor(cancel)
	memory := sendingMemory(out)
	if err := x.share.take(memory); err != nil {
		cancel()
		return nil, err
	}
	resp, err := u.http2.RoundTrip(out.WithContext(ctx))
	if err != nil {
		cancel()
		x.share.give(memory)
	}
	return resp, err
}

// sendingMemory returns what net/http may take for sending a request's body: one frame, whose size the upstream chooses.
func sendingMemory(out *http.Request) int64 {
	switch {
	case out.Body == nil || out.ContentLength >= 0 && out.ContentLength <= uploadShare:
		return 0
	case out.ContentLength >= 0:
		return min(out.ContentLength, uploadMemory)
	}
	return uploadMemory
}

// dialHTTP2 is the transport's dialer.
func (u *upstreams) dialHTTP2(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := u.dialer.secure(ctx, address, u.track)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, nil
	}
	u.http1.Put(u.http1.NewConn(conn, conn.NetConn()))
	return nil, errHTTP1
}

// connect returns an idle connection of HTTP/1.1 to an upstream, or a new one. Both results are nil if HTTP/2 may be spoken
// there, which a dial finds out.
func (u *upstreams) connect(x *exchange, to *url.URL) (*http1.UpstreamConn, error) {
	if conn := u.http1.Get(); conn != nil {
		return conn, nil
	}
	if to.Scheme == "https" {
		return nil, nil //nolint:nilnil // as above
	}
	return u.dialPlain(x)
}

// dialPlain dials in a goroutine of its own: dialing takes a large stack, which a stream would keep.
func (u *upstreams) dialPlain(x *exchange) (*http1.UpstreamConn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.life.WaitFor(cancel)
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
	return u.http1.NewConn(conn, conn), nil
}

// close closes the idle connections, and the others as soon as they are idle.
func (u *upstreams) close() {
	u.http1.Close()
	u.http2.CloseIdleConnections()
}

// cut closes all connections. Those of HTTP/1 that are not idle belong to exchanges, which close them when they are
// cancelled.
func (u *upstreams) cut() {
	u.mu.Lock()
	u.severed = true
	secured := slices.Collect(maps.Keys(u.secured))
	u.mu.Unlock()
	for _, conn := range secured {
		_ = conn.Close() // whoever reads from it learns it
	}
	u.close()
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
