package pipelock

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/bot-bottle/bottled/state/audit"
)

// checkAbsolute makes the decisions about a plain HTTP request that need neither its body nor name resolution.
func (p *proxy) checkAbsolute(r *http.Request, x *exchange) (err error) {
	if err := p.checkURL(r, x); err != nil {
		return err
	}
	if x.target, err = absoluteTarget(r.URL); err != nil {
		return err
	}
	if n := len(r.URL.String()); n > x.policy.urlBytes {
		return &refusal{status: http.StatusForbidden, code: audit.CodeMalformed, reason: "URL length " + strconv.Itoa(n) + " exceeds maximum " + strconv.Itoa(x.policy.urlBytes)}
	}
	if err := p.checkHeader(r, x); err != nil {
		return err
	}
	if err := p.admit(x, false); err != nil {
		return err
	}
	if err := p.checkName(r, x); err != nil {
		return err
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") {
		return noWebSocket()
	}
	return nil
}

// noWebSocket refuses WebSocket over plain HTTP. Clients that try it first, such as Codex, use HTTP at once after 426, and repeat the
// attempt after any other status.
func noWebSocket() *refusal {
	return &refusal{
		status: http.StatusUpgradeRequired, code: audit.CodeMalformed,
		reason: "WebSocket over plain HTTP is not supported: use HTTP, or wss through CONNECT",
	}
}

// serveAbsolute passes on a plain HTTP request whose line has the whole URL. An error means that
// nothing was answered yet.
func (p *proxy) serveAbsolute(w http.ResponseWriter, r *http.Request, x *exchange) error {
	if err := p.checkAbsolute(r, x); err != nil {
		return err
	}
	bodyCost, err := x.policy.secrets.checkBody(r)
	if err != nil {
		return err
	}
	release, err := p.reserve(r.Context(), plainCost+bodyCost)
	if err != nil {
		return err
	}
	defer release()
	return p.forward(w, r, x)
}

// forward streams the request and the response. It ends when the client disconnects, at the exchange's time limit, when it is idle for too
// long, or on revocation.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, x *exchange) error {
	ctx, cancel := context.WithTimeout(r.Context(), x.policy.exchangeTime)
	defer cancel()
	control := http.NewResponseController(w)
	// The response may begin before the end of the request's body.
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	idleTimer := newIdle(x.policy.idleTime, func() {
		cancel()
		// The context does not interrupt reads from the client and writes to it.
		_ = errors.Join(control.SetReadDeadline(time.Now()), control.SetWriteDeadline(time.Now()))
	})
	defer idleTimer.stop()
	stop := context.AfterFunc(x.revoked, func() {
		cancel()
		_ = errors.Join(control.SetReadDeadline(time.Now()), control.SetWriteDeadline(time.Now().Add(revokeTime)))
	})
	defer stop()
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if err := p.connected(x, info.Conn.RemoteAddr()); err != nil {
			x.revoke(err)
		}
	}})
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &revocableBody{p.scan(x, r, &countedBody{r.Body, &x.sent, idleTimer}), x}
	}

	out := &countedWriter{ResponseWriter: w, count: &x.received, idle: idleTimer}
	var failed error
	// If the response is cut off, ReverseProxy panics, so that net/http cuts off the client, too. The fields of the log line are set
	// before that.
	x.action, x.reason = actionAllow, "broken off"
	defer func() {
		x.status = max(x.status, out.status)
		if refused := x.refused.Load(); refused != nil {
			x.deny(refused)
		}
	}()
	(&httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     x.policy.transport,
		FlushInterval: -1,
		ErrorLog:      stdlog.New(io.Discard, "", 0), // the log line of x has it
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}).ServeHTTP(out, r)
	x.reason = ""
	return failed
}

// exchangeKey is the context key of a request's exchange.
type exchangeKey struct{}

// rewrite sends the request to its own target, as a forward proxy does. ReverseProxy has removed hop-by-hop headers and those that
// Connection names.
func rewrite(pr *httputil.ProxyRequest) {
	x := pr.In.Context().Value(exchangeKey{}).(*exchange) //nolint:forcetypeassert // forward put it there
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.URL.Host = x.target.String()
	pr.Out.Host = strings.TrimSuffix(x.target.String(), ":80")
	pr.Out.Trailer = nil // trailers are not scanned
	pr.Out.Header.Del("Upgrade")
	pr.Out.Header.Del("Connection")
}

// newTransport returns a transport that dials by p's rules. It ignores the proxy settings of the environment.
func newTransport(p *policy, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			// addr is the target that rewrite has set.
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return nil, err
			}
			ip, _ := netip.ParseAddr(host)
			return dial(ctx, p, target{host: host, addr: ip, port: uint16(n)})
		},
		DisableCompression:     true, // responses are passed on unchanged
		MaxIdleConns:           64,
		IdleConnTimeout:        time.Minute,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerBytes,
		Protocols:              plainHTTP(),
	}
}

func plainHTTP() *http.Protocols {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &protocols
}
