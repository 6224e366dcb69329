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

	"github.com/bot-bottle/bottled/state/audit"
)

// checkAbsolute decides about a plain HTTP request, as far as that is possible without its body and without asking anybody
// about the host.
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
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return &refusal{status: http.StatusNotImplemented, code: audit.CodeMalformed, reason: "WebSocket over plain HTTP is not supported: use wss, through CONNECT"}
	}
	if err := p.checkHeader(r, x); err != nil {
		return err
	}
	if err := p.admit(x, false); err != nil {
		return err
	}
	return p.checkName(r, x)
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

// forward streams the exchange. Its context ends with the client, at its total time, when nothing has moved for too
// long, or with a revocation.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, x *exchange) error {
	ctx, cancel := context.WithTimeout(r.Context(), x.policy.exchangeTime)
	defer cancel()
	control := http.NewResponseController(w)
	// The answer may begin before the request's body has ended.
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	unused := newIdle(x.policy.idleTime, func() {
		cancel()
		// The context doesn't reach a read from the client or a write to it.
		_ = errors.Join(control.SetReadDeadline(time.Now()), control.SetWriteDeadline(time.Now()))
	})
	defer unused.stop()
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
		r.Body = x.policy.secrets.body(x, r, &countedBody{r.Body, &x.sent, unused})
	}

	out := &countedWriter{ResponseWriter: w, count: &x.received, idle: unused}
	var failed error
	// A response that breaks off makes ReverseProxy panic, which tells net/http to cut the client off
	// too. The line for the log is ready before that.
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
		ErrorLog:      stdlog.New(io.Discard, "", 0), // the line of x says that an answer broke off
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}).ServeHTTP(out, r)
	x.reason = ""
	return failed
}

// exchangeKey is where a request's context has its exchange.
type exchangeKey struct{}

// rewrite undoes what ReverseProxy does for servers behind one name: the request goes where it says.
// Hop-by-hop headers, and those that Connection names, are gone already.
func rewrite(pr *httputil.ProxyRequest) {
	x := pr.In.Context().Value(exchangeKey{}).(*exchange) //nolint:forcetypeassert // forward put it there
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.URL.Host = x.target.String()
	pr.Out.Host = strings.TrimSuffix(x.target.String(), ":80")
	pr.Out.Trailer = nil // its names stand in the header, its values behind the body
	pr.Out.Header.Del("Upgrade")
	pr.Out.Header.Del("Connection")
}

// newTransport connects under p's rules only. Nothing of the process's environment has a say.
func newTransport(p *policy, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			// addr is what rewrite wrote, so this is that target again.
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
		DisableCompression:     true, // the answer goes to the client as it comes
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
