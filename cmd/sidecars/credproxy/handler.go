package credproxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// handler serves the agent.
type handler struct {
	table    *atomic.Pointer[table]
	log      logger
	errorLog *log.Logger
	idle     time.Duration
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == healthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		_, _ = io.WriteString(w, "ok\n") // a prober that left needs no answer
		return
	}
	x := &exchange{handler: h, in: r, w: &recorder{ResponseWriter: w}, started: time.Now()}
	defer x.audit()
	if d := x.admit(h.table.Load()); d != nil {
		x.refuse(d.status, d.reason)
	} else {
		x.forward()
	}
	x.completed = true
}

// exchange is one request and its response.
type exchange struct {
	*handler
	in      *http.Request
	w       *recorder
	started time.Time
	table   *table
	route   *route
	target  target
	watch   *idleWatch
	err     error // why the upstream's response did not get through

	completed bool // false at the end: the response was cut short
}

// admit decides whether a request may be forwarded, and on which route.
func (x *exchange) admit(t *table) *denial {
	x.table = t
	switch {
	case x.in.Method == http.MethodConnect:
		return deny(http.StatusMethodNotAllowed, "CONNECT is not served here; tunnels go through pipelock")
	case x.in.Method == http.MethodTrace, strings.EqualFold(x.in.Method, "TRACK"):
		return deny(http.StatusMethodNotAllowed, "%s is not served: it would show the token", x.in.Method)
	case len(x.in.Header.Values("Upgrade")) > 0:
		return deny(http.StatusBadRequest, "protocol upgrades are not served")
	}
	var d *denial
	if x.target, d = parseTarget(x.in.RequestURI); d != nil {
		return d
	}
	if x.route = t.match(x.target.path); x.route == nil {
		return deny(http.StatusNotFound, "no route has this path; a route's path ends with a slash")
	}
	if x.route.missing != "" {
		return deny(http.StatusServiceUnavailable, "route %s has no token: %s", x.route.path, x.route.missing)
	}
	return nil
}

func (x *exchange) forward() {
	ctx, cancel := context.WithCancelCause(x.in.Context())
	defer cancel(nil)
	x.watch = watchIdle(x.idle, x.w, cancel)
	defer x.watch.stop()
	proxy := &httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x.table.transport,
		ModifyResponse: x.filter,
		ErrorHandler:   x.fail,
		FlushInterval:  -1, // at once: a stream's events must not wait for each other
		ErrorLog:       x.errorLog,
	}
	proxy.ServeHTTP(x.w, x.in.WithContext(ctx))
}

// rewrite turns the client's request into the upstream's. ReverseProxy has already removed hop-by-hop
// headers, those that Connection names, and X-Forwarded-*.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	raw := upstreamPath(x.route.upstream) + strings.TrimPrefix(x.target.path, x.route.path)
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		// Both halves were checked; sending the encoded form twice encoded is the harmless failure.
		decoded = raw
	}
	p.Out.URL = &url.URL{
		Scheme: x.route.upstream.Scheme, Host: x.route.upstream.Host,
		Path: decoded, RawPath: raw, RawQuery: x.target.query,
	}
	p.Out.Host = x.route.upstream.Host
	stripCredentials(p.Out.Header)
	// A pipelock that scans what comes back refuses compressed answers.
	p.Out.Header.Set("Accept-Encoding", "identity")
	p.Out.Trailer = nil
	x.route.token.authorize(p.Out.Header, x.route.scheme)
	if p.Out.Body != nil {
		p.Out.Body = x.watch.body(p.Out.Body)
	}
}

// filter checks the upstream's response before any of it is passed on.
func (x *exchange) filter(resp *http.Response) error {
	x.watch.touch()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("the upstream switched protocols without being asked")
	}
	for _, name := range []string{"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Refresh", "Trailer"} {
		resp.Header.Del(name)
	}
	if err := x.route.rewriteLocation(resp); err != nil {
		return err
	}
	x.dropEchoes(resp.Header)
	resp.Body = x.watch.body(resp.Body)
	return nil
}

// dropEchoes removes response headers in which an upstream repeats the token.
func (x *exchange) dropEchoes(h http.Header) {
	for name, values := range h {
		for _, value := range values {
			if x.route.token.redact(value) != value {
				delete(h, name)
			}
		}
	}
}

// fail answers a request that no response came for.
func (x *exchange) fail(_ http.ResponseWriter, req *http.Request, err error) {
	if cause := context.Cause(req.Context()); errors.Is(cause, errIdle) {
		err = cause
	}
	x.err = err
	status := http.StatusBadGateway
	if errors.Is(err, errIdle) {
		status = http.StatusGatewayTimeout
	}
	x.refuse(status, "route "+x.route.path+": "+x.describe())
}

// describe returns the upstream's error without the secret.
func (x *exchange) describe() string {
	return x.route.token.redact(oneLine(x.err.Error()))
}

// refuse answers with the reason in plain text.
func (x *exchange) refuse(status int, reason string) {
	h := x.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, "cred-proxy: "+reason+"\n") // a client that left needs no answer
}
