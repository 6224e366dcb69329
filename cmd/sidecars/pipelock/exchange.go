package pipelock

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
)

const (
	actionAllow = "allow"
	actionDeny  = sidecar.ActionDeny
	actionError = sidecar.ActionError
)

// exchange is a tunnel, or a plain request with its response. It holds the fields of the log line.
type exchange struct {
	id         string
	method     string
	client     string
	start      time.Time
	policy     *policy
	target     target
	exception  *exception // of the secrets' rules; nil for none
	action     string
	rule       string          // by which a secret was found
	path       string          // to cred-proxy, in which nothing was found
	code       string          // why it was denied, as in the audit log
	reason     string          // why it was denied or failed; it never has a path, query, header or body
	address    string          // of the upstream connection
	grant      grant           // guarded by proxy.exchanges.mu
	revoked    context.Context // ends on revocation or with the exchange; the request's context ends when a tunnel's client half-closes
	cancel     context.CancelCauseFunc
	hideTarget bool // the request line has a secret: the log leaves out method and host
	status     int

	// Set by other goroutines: the one that scans the body, and a reload that revokes the exchange.
	warned  atomic.Pointer[string]
	refused atomic.Pointer[refusal]

	sent     atomic.Int64 // bytes from the client
	received atomic.Int64 // bytes to the client
}

// log logs the exchange after its end, unless it has no action: then it was a tunnel whose requests are logged each.
func (x *exchange) log(decisions *sidecar.Decisions) {
	if x.action == "" {
		return
	}
	warned, reason, host := x.warned.Load(), x.reason, x.target.host
	method, warning := clip(x.method), ""
	if warned != nil {
		warning = *warned
	}
	if x.hideTarget {
		host, method = "", ""
	}
	if x.hideTarget && warned != nil {
		reason = "" // it may name the host
	}
	subject := sidecar.Subject{Event: "egress", Action: x.action, Host: host, Port: x.target.port, Code: x.code, Reason: reason, Warning: warning}
	decisions.Record(subject, x.sent.Load(), x.received.Load(), "egress "+x.action, func(e *zerolog.Event) *zerolog.Event {
		e = e.Str("id", x.id).Str("client", x.client).Str("method", method).Int("status", x.status)
		if x.address != "" {
			e = e.Str("address", x.address)
		}
		if x.rule != "" {
			e = e.Str("rule", x.rule)
			if x.path != "" { // which shows the route
				e = e.Str("path", sidecar.Clip(x.path))
			}
		}
		return e.Int64("duration_ms", max(0, time.Since(x.start).Milliseconds()))
	})
}

// deny notes why the exchange was denied.
func (x *exchange) deny(why *refusal) {
	x.action, x.code, x.reason, x.rule = actionDeny, why.code, why.reason, why.rule
}

// clip limits the length of a method, which the client chooses.
func clip(s string) string {
	return s[:min(len(s), 32)]
}

// idle is an idle timer: it calls a function if touch was not called for a time. It never does after stop has returned, even if touch is
// called later: net/http's transport can read a request's body beyond the end of the handler.
type idle struct {
	after time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func newIdle(after time.Duration, expired func()) *idle {
	i := &idle{after: after}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer = time.AfterFunc(after, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if !i.stopped {
			expired()
		}
	})
	return i
}

func (i *idle) touch() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.stopped {
		i.timer.Reset(i.after)
	}
}

func (i *idle) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	i.timer.Stop()
}

// countedBody counts the bytes that a client sends.
type countedBody struct {
	io.ReadCloser
	count *atomic.Int64
	idle  *idle
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count.Add(int64(n))
	b.idle.touch()
	return n, err
}

// revocableBody ends with the exchange's revocation. Cancelling the request does not suffice: it takes effect a moment later, and what
// the client sends in between would leave.
type revocableBody struct {
	io.ReadCloser
	x *exchange
}

func (b *revocableBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.x.revoked.Err() != nil {
		return 0, context.Cause(b.x.revoked)
	}
	return n, err
}

// countedWriter counts the bytes that a client receives. http.ResponseController flushes through Unwrap.
type countedWriter struct {
	http.ResponseWriter
	count  *atomic.Int64
	idle   *idle
	status int
}

func (w *countedWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.count.Add(int64(n))
	w.idle.touch()
	return n, err
}

func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
