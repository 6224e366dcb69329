package pipelock

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/zerolog"
)

// methodBytes limits the length of a method in a tunnel.
const methodBytes = 32

// beginsRequest reports whether the client's data begins like an HTTP request: a method and a space. It waits for as much as it needs.
func beginsRequest(r *bufio.Reader) bool {
	for n := 1; n <= methodBytes; n++ {
		b, err := r.Peek(n)
		if err != nil {
			return false
		}
		switch c := b[n-1]; {
		case c == ' ':
			return n > 1
		case (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-':
			return false
		}
	}
	return false
}

// newInside returns the server of plain HTTP in tunnels.
func newInside(p *proxy, log zerolog.Logger) *http.Server {
	s := newServer(p, log)
	s.Handler = http.HandlerFunc(p.serveTunnelled)
	s.BaseContext = func(l net.Listener) context.Context {
		return context.WithValue(context.Background(), originKey{}, l.(*tunnelled).target) //nolint:forcetypeassert // serveInside has no other
	}
	return s
}

// originKey is the context key of the target of the tunnel that a request came through.
type originKey struct{}

// serveInside serves the client's end of a tunnel as HTTP, like any other connection to the proxy. It returns at once.
func (p *proxy) serveInside(x *exchange, client net.Conn, buffered *bufio.Reader) {
	x.action = "" // each request is logged
	ahead, _ := buffered.Peek(buffered.Buffered())
	l := &tunnelled{conn: client, target: x.target}
	if err := p.clients.Readmit(client, ahead); err == nil {
		_ = p.inside.Serve(l) // which ends after one connection
	}
	_ = l.Close()
}

// tunnelled is a listener that accepts the client's end of a tunnel, once.
type tunnelled struct {
	conn   net.Conn // nil once it was accepted
	target target
}

// Accept implements net.Listener.
func (l *tunnelled) Accept() (net.Conn, error) {
	conn := l.conn
	if conn == nil {
		return nil, net.ErrClosed
	}
	l.conn = nil
	return conn, nil
}

// Close implements net.Listener.
func (l *tunnelled) Close() error {
	if l.conn == nil {
		return nil
	}
	return l.conn.Close()
}

// Addr implements net.Listener.
func (l *tunnelled) Addr() net.Addr { return &net.TCPAddr{} }

// serveTunnelled serves a request that came through a tunnel as the same request would be served with its whole URL: by all the same rules.
func (p *proxy) serveTunnelled(w http.ResponseWriter, r *http.Request) {
	defer endBody(w)
	p.serve(w, r, func(w http.ResponseWriter, r *http.Request, x *exchange) error {
		t := r.Context().Value(originKey{}).(target) //nolint:forcetypeassert // newInside put it there
		if err := toAbsolute(r, t); err != nil {
			return err
		}
		return p.serveAbsolute(w, r, x)
	})
}

// toAbsolute turns a request in a tunnel to t into the one that a client would send without a tunnel. It refuses requests that name
// another target, in whichever way.
func toAbsolute(r *http.Request, t target) error {
	if r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/") {
		return malformed("a request in a tunnel needs a path, and neither a whole URL nor CONNECT")
	}
	host, port, ok := cutPort(r.Host)
	if !ok {
		host, port = r.Host, "80"
	}
	if named, err := newTarget(host, port); err != nil || named != t {
		return malformed("the Host header is not the host and port of CONNECT")
	}
	line := "http://" + t.String() + r.RequestURI
	u, err := url.ParseRequestURI(line)
	if err != nil {
		return malformed("the path is invalid")
	}
	r.RequestURI, r.URL, r.Host = line, u, u.Host
	return nil
}
