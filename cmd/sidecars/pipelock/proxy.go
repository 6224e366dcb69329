package pipelock

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/coding"
	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/configdigest"
)

const (
	healthPath = "/health"
	hintHeader = "X-Pipelock-Hint"

	headerTime  = 10 * time.Second       // to send a request's header
	revokeTime  = 250 * time.Millisecond // to read the answer to a revoked request
	discardTime = 2 * time.Second        // to send the rest of a body that is discarded
	idleTime    = 2 * time.Minute        // between two requests on one connection
	headerBytes = 64 << 10
	configBytes = 1 << 20
)

// proxy handles all requests.
type proxy struct {
	log    zerolog.Logger
	audit  *sidecar.Decisions
	dial   dialFunc
	names  resolver
	policy atomic.Pointer[policy]
	// internal is the bottle's internal network.
	internal  netip.Prefix
	exchanges exchanges
	start     time.Time
	clients   *sidecar.Clients
	inside    *http.Server        // for plain HTTP in tunnels
	buffers   *semaphore.Weighted // its unit is a byte
	shareTime time.Duration
	helloTime time.Duration
}

func newProxy(log zerolog.Logger, internal netip.Prefix) *proxy {
	p := &proxy{
		internal:  internal,
		exchanges: exchanges{open: map[*exchange]struct{}{}},
		log:       log,
		audit:     sidecar.NewDecisions(log),
		dial:      dialer{resolver: absoluteNames{net.DefaultResolver}}.dial,
		names:     absoluteNames{net.DefaultResolver},
		start:     time.Now(),
		clients:   sidecar.NewClients(maxConns, headersCost, log),
		buffers:   semaphore.NewWeighted(buffersCost),
		shareTime: shareTime,
		helloTime: helloTime,
	}
	p.inside = newInside(p, log)
	return p
}

// newServer returns a server without a time limit on requests: the policy has limits of its own.
func newServer(p *proxy, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           p,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ConnState:         p.clients.Track,
		ErrorLog:          stdlog.New(sidecar.Bounded(log), "", 0),
	}
}

// load reads and applies the configuration. Exchanges in progress that it allows continue under the policy that they began with; the others
// are revoked.
func (p *proxy) load(path string) (sidecar.Loaded, error) {
	data, err := readConfig(path)
	if err != nil {
		return sidecar.Loaded{}, err
	}
	next, err := newPolicy(data, p.internal, p.dial)
	if err != nil {
		return sidecar.Loaded{}, fmt.Errorf("%s: %w", path, err)
	}
	p.replace(next)
	return sidecar.Loaded{Digest: configdigest.Of(map[string][]byte{filepath.Base(path): data})}, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, configBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > configBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, configBytes)
	}
	return data, nil
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.serve(w, r, p.serveConnect)
	case r.URL.IsAbs():
		defer endBody(w)
		p.serve(w, r, p.serveAbsolute)
	default:
		defer endBody(w)
		p.serveOwn(w, r)
	}
}

// endBody limits how long net/http discards the rest of a body, which it does so that the client can read the answer. Without a deadline, a
// client that stops sending would hold the connection forever.
func endBody(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(discardTime))
}

// serve serves an exchange, and answers with the error if it is refused or fails.
func (p *proxy) serve(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request, *exchange) error) {
	x := &exchange{id: rand.Text(), method: r.Method, client: r.RemoteAddr, start: time.Now()}
	defer x.log(p.audit)
	p.begin(x)
	defer p.end(x)
	if err := serve(w, r, x); err != nil {
		p.fail(w, x, err)
	}
}

// serveOwn answers requests to the proxy itself.
func (p *proxy) serveOwn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != healthPath {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status":         "healthy",
		"implementation": "bottled",
		"mode":           pipelockconf.ModeStrict,
		"uptime_seconds": time.Since(p.start).Seconds(),
	})
}

// fail answers with err and records it. Anything but a refusal is a network error.
func (p *proxy) fail(w http.ResponseWriter, x *exchange, err error) {
	refused := x.refused.Load() // the cause, from another goroutine, if err is only its consequence
	if refused == nil && !errors.As(err, &refused) {
		x.action, x.reason = actionError, networkReason(err)
		text := "cannot reach " + x.target.host
		p.answer(w, x, http.StatusBadGateway, text, text)
		return
	}
	x.deny(refused)
	w.Header().Set(sidecar.BlockedHeader, refused.code)
	summary := "Blocked by sandbox policy: " + refused.reason
	if x.policy.explain && refused.hint != "" {
		w.Header().Set(hintHeader, refused.hint)
		if refused.askable() {
			summary += " (ask with pipelock-block)"
		}
	}
	if refused.status == http.StatusBadRequest || x.refused.Load() != nil {
		w.Header().Set("Connection", "close") // the start of the next request may be ambiguous, or far away
	}
	switch refused.status {
	case http.StatusUpgradeRequired: // RFC 9110, section 15.5.22: the protocol to use instead
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "HTTP/1.1")
	case http.StatusUnsupportedMediaType: // RFC 9110, section 12.5.3: the codings to use instead
		w.Header().Set("Accept-Encoding", coding.Known)
	}
	prefix := "blocked: "
	if x.method == http.MethodConnect {
		prefix = "CONNECT blocked: "
	}
	p.answer(w, x, refused.status, prefix+refused.reason, summary)
}

// networkReason returns the text of a network error. Protocol errors quote the upstream's data, so they get a general one.
func networkReason(err error) string {
	if netErr := net.Error(nil); errors.As(err, &netErr) || errors.Is(err, context.Canceled) {
		return err.Error()
	}
	return "the connection broke off or the answer was not HTTP"
}

func (p *proxy) answer(w http.ResponseWriter, x *exchange, status int, text, summary string) {
	x.status = status
	if x.method == http.MethodConnect && p.answerConnect(w, status, text, summary) == nil {
		return
	}
	http.Error(w, text, status)
}

// answerConnect refuses CONNECT with a summary in the status line, since most clients show nothing else of the answer, and ends the
// connection. net/http's own answers have fixed reason phrases.
func (p *proxy) answerConnect(w http.ResponseWriter, status int, text, summary string) error {
	header := w.Header().Clone()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Connection", "close")
	text += "\n"
	var answer strings.Builder
	if err := (&http.Response{
		Status: strconv.Itoa(status) + " " + phrase(summary), StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header,
		ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)),
	}).Write(&answer); err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	p.clients.Finish(conn, answer.String())
	return conn.Close()
}
