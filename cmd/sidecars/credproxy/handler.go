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

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
	model "github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/audit"
)

const (
	// maxExchanges bounds the requests that are served at once.
	maxExchanges = 2048
	// bodyGrace is how long a client may take to send the rest of a body that nobody reads any more.
	bodyGrace = 500 * time.Millisecond
	// skippedBody is how much of that is read, in bytes.
	skippedBody = 256 << 10
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
	watch    *watch
}

// newHandler returns a handler of the loader's routes.
func newHandler(from *loader, audit *auditLog, errorLog *log.Logger) *handler {
	return &handler{table: &from.table, watch: &from.exchanges, audit: audit, errorLog: errorLog, idle: idleTimeout}
}

// ServeHTTP implements http.Handler, for HTTP/2, where net/http checks where a message ends.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		http.Error(w, "cred-proxy: the connection was not checked", http.StatusInternalServerError) // a mistake in wiring; never without
		return
	}
	if conn, ok := r.Context().Value(http2ConnKey{}).(*http2Conn); ok {
		conn.requests.Add(1)
		defer conn.requests.Add(-1)
	}
	h.serve(w, r, nil)
}

// serve serves a request: of a client with HTTP/1, or of HTTP/2 (nil).
func (h *handler) serve(w http.ResponseWriter, r *http.Request, from *http1.Conn) {
	if r.RequestURI == healthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		_, _ = io.WriteString(w, "ok\n") // a prober that left needs no answer
		return
	}
	defer h.open.Add(-1)
	x := &exchange{handler: h, in: r, client: from, w: recorder{ResponseWriter: w}, started: time.Now(), crowded: h.open.Add(1) > maxExchanges}
	defer x.share.giveBack()
	denied := x.admit(h.table.Load())
	if denied != nil {
		x.code, x.cause = denied.code, x.table.redact(denied.reason)
	}
	if err := x.begin(denied != nil); err != nil {
		x.refuse(deny(http.StatusServiceUnavailable, "the request can't be audited, so it is not made"))
		x.errorLog.Print("a request was refused because it could not be audited: ", err)
		return
	}
	defer x.end()
	h.watch.add(x)
	defer h.watch.remove(x)
	if cause := h.table.Load().revokes(x); cause != nil {
		x.cancel(cause) // whoever stored that table has not seen this exchange
	}
	if denied != nil {
		x.refuse(denied)
		if x.crowded || x.client == nil { // a client that does not read holds memory
			x.flushSoon()
		}
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
	client  *http1.Conn // nil for HTTP/2
	w       recorder
	body    *http1.Body // nil when there is none
	started time.Time
	table   *table
	route   *route
	target  target
	life    http1.Exchange
	share   share
	trailer names  // announced in the response's header
	err     error  // why the upstream's response did not get through
	code    string // of the audit log: what is wrong with the credential; "" for nothing
	cause   string // why the request was refused, or the credential was

	uses    usesKey
	counted bool // without audit lines of its own

	crowded   bool // more exchanges are open than may be
	completed bool // false at the end: the response was cut short

	// What watch knows of it.
	still          time.Time // since when nothing was sent or received
	stallPaid      bool      // stallMemory is taken
	next, previous *exchange
}

// drained waits until no exchange is open.
func (h *handler) drained(ctx context.Context) error {
	for h.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// admit decides whether a request may be forwarded, and on which route.
func (x *exchange) admit(t *table) *denial {
	x.table = t
	if d := x.checkMessage(); d != nil {
		return d
	}
	path, query, d := t.parseTarget(x.in.RequestURI)
	if d != nil {
		return d
	}
	if x.route = t.match(path); x.route == nil {
		return deny(http.StatusNotFound, "no route has this path; a route's path ends with a slash")
	}
	if query, d = x.route.query.clean(query); d != nil {
		return d
	}
	x.target = target{path: path, query: query}
	return x.checkRoute()
}

// checkMessage judges what is true or false of a request whatever its route.
func (x *exchange) checkMessage() *denial {
	if x.client != nil {
		if fault := x.client.Fault(); fault != "" {
			return deny(http.StatusBadRequest, "%s", fault)
		}
	}
	if d := x.checkSize(); d != nil {
		return d
	}
	switch expected := x.in.Header.Values("Expect"); {
	case len(expected) > 1, len(expected) == 1 && !strings.EqualFold(expected[0], "100-continue"):
		return deny(http.StatusExpectationFailed, "what is expected is not just 100-continue")
	case model.IsReservedMethod(x.in.Method):
		return deny(http.StatusMethodNotAllowed, "%s is not served here: tunnels go through pipelock, and TRACE and TRACK would show the token",
			strings.ToUpper(x.in.Method))
	case !model.IsMethod(x.in.Method):
		return deny(http.StatusBadRequest, "the method is not one to 32 upper-case letters and dashes, like GET")
	case asksForWebSocket(x.in.Header):
		// Clients take 426 as an order to use HTTP at once, and try again after any other status (openai/codex#43353).
		return deny(http.StatusUpgradeRequired, "WebSocket is not served; use HTTP: server-sent events and long polls stream both ways").
			with("Upgrade", "HTTP/1.1")
	case x.crowded:
		return deny(http.StatusServiceUnavailable, "more than %d requests are open", maxExchanges).with("Retry-After", "1")
	}
	return nil
}

// checkSize judges the memory that a request's header takes.
func (x *exchange) checkSize() *denial {
	memory, fields := headerMemory(x.in.Header)
	switch {
	case fields > maxFields:
		x.in.Header = nil // it takes memory until the refusal is sent
		return deny(http.StatusRequestHeaderFieldsTooLarge, "the header has %d fields, more than %d", fields, maxFields)
	case x.share.take(memory+2*int64(len(x.in.RequestURI))-headerShare) != nil:
		x.in.Header = nil
		return deny(http.StatusRequestHeaderFieldsTooLarge, "the memory for large headers is in use; come again, or send a smaller one")
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
		d := deny(http.StatusServiceUnavailable, "route %s has no token: %s", r.path, r.missing)
		d.code = audit.CodeCredentialUnusable
		return d
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
func (x *exchange) fail(err error) {
	err = x.reason(err)
	x.err = err
	d := deny(http.StatusBadGateway, "route %s: %s", x.route.path, x.describe())
	switch {
	case x.body.TooLarge():
		d = denyBody(x.route)
	case errors.Is(err, errIdle):
		d.status = http.StatusGatewayTimeout
	case errors.Is(err, errRevoked), errors.Is(err, http1.ErrNoMemory):
		d.status = http.StatusServiceUnavailable
	case errors.Is(err, errClientLeft):
		d.status = statusClientGone // nobody reads it; the audit line shows it
	}
	x.refuse(d)
}

// reason is why an exchange failed: what ended it, rather than the error that this led to.
func (x *exchange) reason(err error) error {
	if cause := x.life.Err(); cause != nil {
		return cause
	}
	if x.in.Context().Err() != nil || x.client != nil && x.client.Left() {
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
		x.skipBody()
	}
	h, text := x.w.Header(), "cred-proxy: "+d.reason+"\n"
	for name, value := range d.header {
		h.Set(name, value)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(d.status)
	_, _ = io.WriteString(&x.w, text) // a client that left needs no answer
}

// flushSoon sends a response that may take only a moment. It is sent here, and not when the request ends: the locks that this
// takes may be waited for longer, when thousands of requests end at once.
func (x *exchange) flushSoon() {
	to := http.NewResponseController(x.w.ResponseWriter)
	_ = to.SetWriteDeadline(time.Now().Add(cancelGrace)) // both servers can do it
	_ = to.Flush()                                       // a client that left needs no answer
}

// skipBody reads a body that nobody reads, if that is short, so that the connection can be used again. A client that
// waits to be asked for it (Expect) is not.
func (x *exchange) skipBody() {
	_ = http.NewResponseController(x.w.ResponseWriter).SetReadDeadline(time.Now().Add(bodyGrace)) // both servers can do it
	short := x.in.ContentLength > 0 && x.in.ContentLength <= skippedBody
	if short && x.body == nil && x.client != nil && x.client.Fault() == "" && x.in.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, x.in.Body, skippedBody) // its end or the deadline
	}
}
