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
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

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
	buffers   *semaphore.Weighted // its unit is a byte
	shareTime time.Duration
	helloTime time.Duration
}

func newProxy(log zerolog.Logger, internal netip.Prefix) *proxy {
	return &proxy{
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
	// net/http discards the rest of the body, so that the client can read the answer. Without a deadline, a client that stops sending
	// would hold the connection forever.
	defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(discardTime)) }()
	if r.Method != http.MethodConnect && !r.URL.IsAbs() {
		p.serveOwn(w, r)
		return
	}
	x := &exchange{id: rand.Text(), method: r.Method, client: r.RemoteAddr, start: time.Now()}
	defer x.log(p.audit)
	p.begin(x)
	defer p.end(x)
	serve := p.serveAbsolute
	if r.Method == http.MethodConnect {
		serve = p.serveConnect
	}
	if err := serve(w, r, x); err != nil {
		x.fail(w, err)
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
func (x *exchange) fail(w http.ResponseWriter, err error) {
	refused := x.refused.Load() // the cause, from another goroutine, if err is only its consequence
	if refused == nil && !errors.As(err, &refused) {
		x.action, x.reason = actionError, networkReason(err)
		x.answer(w, http.StatusBadGateway, "cannot reach "+x.target.host)
		return
	}
	x.deny(refused)
	w.Header().Set(sidecar.BlockedHeader, refused.code)
	if x.policy.explain && refused.hint != "" {
		w.Header().Set(hintHeader, refused.hint)
	}
	if refused.status == http.StatusBadRequest || x.refused.Load() != nil {
		w.Header().Set("Connection", "close") // the start of the next request may be ambiguous, or far away
	}
	prefix := "blocked: "
	if x.method == http.MethodConnect {
		prefix = "CONNECT blocked: "
	}
	x.answer(w, refused.status, prefix+refused.reason)
}

// networkReason returns the text of a network error. Protocol errors quote the upstream's data, so they get a general one.
func networkReason(err error) string {
	if netErr := net.Error(nil); errors.As(err, &netErr) || errors.Is(err, context.Canceled) {
		return err.Error()
	}
	return "the connection broke off or the answer was not HTTP"
}

func (x *exchange) answer(w http.ResponseWriter, status int, text string) {
	x.status = status
	http.Error(w, text, status)
}
