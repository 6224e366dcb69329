package credproxy

import (
	"context"
	"errors"
	"io"
	"log"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxExchanges bounds the requests that are served at once.
	maxExchanges = 2048
	// bodyGrace is how long a client may take to send the rest of a body that nobody reads any more.
	bodyGrace = 500 * time.Millisecond
	// statusClientGone is what nginx made the usual status for it, in logs only.
	statusClientGone = 499
)

var errClientLeft = errors.New("the client left")

// handler serves the agent.
type handler struct {
	table    *atomic.Pointer[table]
	audit    *auditLog
	errorLog *log.Logger
	idle     time.Duration
	open     atomic.Int64 // exchanges
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == healthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		_, _ = io.WriteString(w, "ok\n") // a prober that left needs no answer
		return
	}
	defer h.open.Add(-1)
	x := &exchange{handler: h, in: r, w: recorder{ResponseWriter: w}, started: time.Now(), crowded: h.open.Add(1) > maxExchanges}
	denied := x.admit(h.table.Load())
	if err := x.begin(); err != nil {
		x.refuse(deny(http.StatusServiceUnavailable, "the request can't be audited, so it is not made"))
		x.errorLog.Print("a request was refused because it could not be audited: ", err)
		return
	}
	defer x.end()
	if denied != nil {
		x.refuse(denied)
	} else {
		x.forward()
	}
	x.completed = true
}

// exchange is one request and its response.
type exchange struct {
	*handler
	id      uint64
	in      *http.Request
	w       recorder
	body    *requestBody // nil when there is none
	started time.Time
	table   *table
	route   *route
	target  target
	watch   *idleWatch
	trailer names // announced in the response's header
	err     error // why the upstream's response did not get through

	crowded   bool // more exchanges are open than may be
	completed bool // false at the end: the response was cut short
}

// admit decides whether a request may be forwarded, and on which route.
func (x *exchange) admit(t *table) *denial {
	x.table = t
	if d := x.checkMessage(); d != nil {
		return d
	}
	path, query, d := parseTarget(x.in.RequestURI)
	if d != nil {
		return d
	}
	if x.route = t.match(path); x.route == nil {
		return deny(http.StatusNotFound, "no route has this path; a route's path ends with a slash")
	}
	if query, d = cleanQuery(query, x.route.auth.query); d != nil {
		return d
	}
	x.target = target{path: path, query: query}
	return x.checkRoute()
}

// checkMessage judges what is true or false of a request whatever its route.
func (x *exchange) checkMessage() *denial {
	fault, checked := messageFault(x.in)
	switch {
	case !checked:
		return deny(http.StatusInternalServerError, "the connection was not checked") // a mistake in wiring; never without
	case fault != "":
		return deny(http.StatusBadRequest, "%s", fault)
	case x.in.Method == http.MethodConnect:
		return deny(http.StatusMethodNotAllowed, "CONNECT is not served here; tunnels go through pipelock")
	case x.in.Method == http.MethodTrace, strings.EqualFold(x.in.Method, "TRACK"):
		return deny(http.StatusMethodNotAllowed, "%s is not served: it would show the token", x.in.Method)
	case len(x.in.Header.Values("Upgrade")) > 0:
		return deny(http.StatusBadRequest, "protocol upgrades are not served")
	case x.crowded:
		return deny(http.StatusServiceUnavailable, "more than %d requests are open", maxExchanges).with("Retry-After", "1")
	}
	return nil
}

// checkRoute judges a request by its route's own rules.
func (x *exchange) checkRoute() *denial {
	r := x.route
	if d := r.checkMethod(x.in.Method); d != nil {
		return d
	}
	if d := r.checkPath(x.target.path); d != nil {
		return d
	}
	if x.in.ContentLength > r.maxBody {
		return denyBody(r)
	}
	if r.missing != "" {
		return deny(http.StatusServiceUnavailable, "route %s has no token: %s", r.path, r.missing)
	}
	if wait := r.limit.take(x.started); wait > 0 {
		return deny(http.StatusTooManyRequests, "route %s is limited to %d requests a minute", r.path, r.limit.conf.RequestsPerMinute).
			with("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	return nil
}

func denyBody(r *route) *denial {
	return deny(http.StatusRequestEntityTooLarge, "the body is larger than the %d bytes that route %s allows", r.maxBody, r.path)
}

// fail answers a request that no response came for.
func (x *exchange) fail(ctx context.Context, err error) {
	err = x.reason(ctx, err)
	x.err = err
	d := deny(http.StatusBadGateway, "route %s: %s", x.route.path, x.describe())
	switch {
	case x.body.tooLarge():
		d = denyBody(x.route)
	case errors.Is(err, errIdle):
		d.status = http.StatusGatewayTimeout
	case errors.Is(err, errClientLeft):
		d.status = statusClientGone // nobody reads it; the audit line shows it
	}
	x.refuse(d)
}

// reason is why an exchange failed: what ended it, rather than the error that this led to.
func (x *exchange) reason(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errIdle):
		return cause
	case x.in.Context().Err() != nil:
		return errClientLeft
	}
	return err
}

// describe returns the upstream's error without the secret.
func (x *exchange) describe() string {
	return x.route.auth.token.redact(oneLine(x.err.Error()))
}

// refuse answers with the reason in plain text.
func (x *exchange) refuse(d *denial) {
	if x.in.ContentLength != 0 {
		// net/http reads on, to use the connection again; it has no limit for that.
		_ = http.NewResponseController(x.w.ResponseWriter).SetReadDeadline(time.Now().Add(bodyGrace)) // both servers can do it
	}
	h := x.w.Header()
	for name, value := range d.header {
		h.Set(name, value)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.begunResponse(d.status)
	_, _ = io.WriteString(&x.w, "cred-proxy: "+d.reason+"\n") // a client that left needs no answer
}

// begunResponse sends the status and the header. A connection of HTTP/1 with a body that is chunked or not read
// to its end ends with this response: what follows on it might be taken for a request.
func (x *exchange) begunResponse(status int) {
	if x.in.ProtoMajor == 1 && (mustClose(x.in) || x.body.unread()) {
		x.w.Header().Set("Connection", "close")
	}
	x.w.WriteHeader(status)
}
