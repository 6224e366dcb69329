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

// exchange is one tunnel or one plain request with its answer, as the log tells it.
type exchange struct {
	id         string
	method     string
	client     string
	start      time.Time
	policy     *policy
	target     target
	action     string
	code       string          // why it was denied, as in the audit log
	reason     string          // why it was denied or failed; never a path, a query, a header or a body
	address    string          // that was connected to
	grant      grant           // guarded by exchanges.mu
	revoked    context.Context // ends with the exchange at the latest; the request's ends when a tunnel's client closes its side
	cancel     context.CancelCauseFunc
	hideTarget bool // the request line has a secret: method and host stay out of the log
	status     int

	// Set by other goroutines: the one that reads a body that is looked into, and a reload that revokes the exchange.
	warned  atomic.Pointer[string]
	refused atomic.Pointer[refusal]

	sent     atomic.Int64 // bytes from the client
	received atomic.Int64 // bytes to the client
}

// log records this exchange, when it is over.
func (x *exchange) log(decisions *sidecar.Decisions) {
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
		return e.Int64("duration_ms", max(0, time.Since(x.start).Milliseconds()))
	})
}

// deny notes why the exchange was denied.
func (x *exchange) deny(why *refusal) {
	x.action, x.code, x.reason = actionDeny, why.code, why.reason
}

// clip bounds a method, which the client chooses.
func clip(s string) string {
	return s[:min(len(s), 32)]
}

// idle runs a function when nothing has moved for a time. Once stop has returned it never does, though
// something may still move: net/http's transport can read a request's body beyond the end of the handler.
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

// countedBody counts what a client sends.
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

// countedWriter counts what a client gets. Flushing goes through Unwrap.
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
