package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/printable"
)

// Source is the running controller. Its methods are called from many goroutines.
type Source interface {
	Status() reconciler.Status
	// Events returns the last events of a bottle, of all and the controller without a name, by ID; only those with a greater ID than after.
	Events(bottle string, after uint64) []reconciler.Event
	// Changed returns a channel that receives (capacity 1, level-triggered) whenever Status or Events may have changed, and a
	// function that unsubscribes.
	Changed() (<-chan struct{}, func())
	// Sync requests a full resync, and returns the value that ControllerStatus.Syncs reaches when it is done. With prune, it also
	// removes the bottles that are kept because their removal looks like an accident.
	Sync(prune bool) int64
	// Order records what an operator asks of a bottle, which is Reconciling until it is carried out. by is the operator's user, "" if it
	// is not known. Its errors are marked reconciler.ErrNoBottle and reconciler.ErrOrder where the request is wrong.
	Order(ctx context.Context, by, bottle string, order reconciler.Order, component state.ComponentName) error
	Approvals
	// Look returns a channel with the newest activity of the bottles, which is measured until stop is called.
	Look() (newest <-chan reconciler.Activity, stop func())
	// Traffic returns what a bottle's sidecars have reported of its requests.
	Traffic(bottle string) (reconciler.BottleTraffic, error)
	// Ready is nil once the first resync is done and the engine answers; otherwise it says why not.
	Ready() error
}

// Options of a server.
type Options struct {
	Source  Source
	Metrics prometheus.Gatherer
	Socket  string // path of the unix socket
	TCP     string // loopback host:port, served read-only; "" for none
	// Tokens returns who may see proposals and decide about them on TCP. It is called for every such request. nil for nobody.
	Tokens func() (Tokens, error)
	// Page is served for every path that is not of the API; nil for none.
	Page Page
	Log  zerolog.Logger
}

// grace is how long requests may take after the end of the controller.
const grace = 2 * time.Second

// orderTimeout limits how long it may take to accept an order: a restart asks the engine what runs.
const orderTimeout = answerTimeout - 2*time.Second

// syncAnswer is the answer to POST /v1/sync.
type syncAnswer struct {
	Syncs int64 `json:"syncs"`
}

// eventsAnswer is the answer to GET /v1/events.
type eventsAnswer struct {
	Events []reconciler.Event `json:"events"`
}

// Server is a listening server. Serve makes it answer.
type Server struct {
	o    Options
	unix *boundedListener
	tcp  *boundedListener // nil for none
	pace streamTiming
	// patterns are those of the handlers, for the test that compares them with their documentation.
	patterns []string
}

// Listen opens the listeners, so that a conflict is known early. Clients that connect wait for Serve.
func Listen(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, pace: defaultPace}
	if o.TCP != "" {
		l, err := listenTCP(ctx, o.TCP)
		if err != nil {
			return nil, err
		}
		s.tcp = newBoundedListener(l, tcpBudget)
	}
	l, err := listenUnix(ctx, o.Socket)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.unix = newBoundedListener(l, unixBudget)
	return s, nil
}

// Close closes the listeners of a server that does not Serve.
func (s *Server) Close() error {
	var failed []error
	for _, d := range []*boundedListener{s.unix, s.tcp} {
		if d != nil {
			failed = append(failed, d.Close())
		}
	}
	return errors.Join(failed...)
}

// TCPAddr is the address of the TCP listener; nil without one.
func (s *Server) TCPAddr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Serve answers until ctx ends, which ends all streams, and returns when everything is closed and the socket removed.
func (s *Server) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	s.serve(ctx, group, s.unix, s.withPage(s.routes(s.unix, view{status: s.status, events: s.o.Source.Events, identify: unixUser})))
	if s.tcp != nil {
		public := view{status: func() reconciler.Status { return withoutTraffic(s.status()) }, events: s.publicEvents, identify: s.tokenHolder}
		s.serve(ctx, group, s.tcp, s.withPage(readOnly(s.routes(s.tcp, public))))
	}
	return group.Wait()
}

// view is what the clients of a listener see.
type view struct {
	status func() reconciler.Status
	events func(bottle string, after uint64) []reconciler.Event
	// identify returns who sends a request. The error is an *identityError.
	identify func(*http.Request) (string, error)
}

// routes returns the handler of a listener.
func (s *Server) routes(d *boundedListener, v view) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, next http.HandlerFunc) {
		s.patterns = append(s.patterns, pattern)
		mux.HandleFunc(pattern, next)
	}
	answer := func(pattern string, next http.HandlerFunc) {
		handle(pattern, within(d.requests, "requests are being answered", next))
	}
	answer("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	answer("GET /readyz", s.ready)
	answer("GET /metrics", promhttp.HandlerFor(s.o.Metrics, promhttp.HandlerOpts{}).ServeHTTP)
	answer("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { s.json(w, http.StatusOK, v.status()) })
	stream := func(sender func(*http.Request) (func(sseWriter) error, error)) http.HandlerFunc {
		return within(d.streams, "streams are open", s.stream(sender))
	}
	handle("GET /v1/status/stream", stream(sendWhole("status", v.status)))
	answer("GET /v1/events", s.events(v.events))
	handle("GET /v1/events/stream", stream(sendEvents(v.events)))
	known := func(pattern string, next http.HandlerFunc) { handle(pattern, identified(v.identify, next)) }
	bounded := func(next http.HandlerFunc) http.HandlerFunc {
		return within(d.requests, "requests are being answered", next)
	}
	known("GET /v1/activity/stream", within(d.streams, "streams are open", s.activity))
	known("GET /v1/bottles/{bottle}/traffic", bounded(s.traffic))
	known("GET /v1/proposals", bounded(func(w http.ResponseWriter, _ *http.Request) { s.json(w, http.StatusOK, s.proposals()) }))
	known("GET /v1/proposals/stream", stream(sendWhole("proposals", s.proposals)))
	known("GET /v1/proposals/{id}", bounded(s.review))
	known("POST /v1/proposals/{id}/decision", bounded(s.decide))
	known("POST /v1/links", bounded(s.link))
	answer("POST /v1/sync", func(w http.ResponseWriter, r *http.Request) {
		s.json(w, http.StatusAccepted, syncAnswer{s.o.Source.Sync(r.URL.Query().Get("prune") == "all")})
	})
	known("POST /v1/bottles/{bottle}/allow", bounded(s.allow))
	known("GET /v1/bottles/{bottle}/rollback", bounded(s.reviewRollback))
	known("POST /v1/bottles/{bottle}/rollback", bounded(s.rollback))
	answer("POST /v1/bottles/{bottle}/{order}", s.order)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// readOnly is the handler of the TCP listener, where users can't be distinguished, nor a program from a page in a browser. It checks
// the Host header against DNS rebinding: a page whose name resolves to a loopback address sends its own name there.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // without a port
			host = strings.Trim(r.Host, "[]")
		}
		switch {
		case !isLoopback(host):
			http.Error(w, fmt.Sprintf("host %q: only a loopback address or localhost is served", host), http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !isDecision(r): // which needs a token
			http.Error(w, "only reading is served here: use the controller's unix socket", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.o.Source.Ready(); err != nil {
		http.Error(w, printable.Block(err.Error()), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) traffic(w http.ResponseWriter, r *http.Request) {
	all, err := s.o.Source.Traffic(r.PathValue("bottle"))
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusOK, all)
}

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	component := state.ComponentName(r.URL.Query().Get("component"))
	ctx, cancel := bounded(r)
	defer cancel()
	by, err := unixUser(r)
	if err != nil { // no reason to refuse: it may be what cuts a bottle off
		s.o.Log.Warn().Err(err).Msg("an order of a user who is not known")
	}
	if err := s.o.Source.Order(ctx, by, r.PathValue("bottle"), reconciler.Order(r.PathValue("order")), component); err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusAccepted, struct{}{})
}

// bounded is the context of a request that may ask the engine.
func bounded(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(r.Context(), orderTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, orderTimeout))
}

// refuse answers with the source's error.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, reconciler.ErrNoBottle), errors.Is(err, reconciler.ErrNoProposal):
		code = http.StatusNotFound
	case errors.Is(err, reconciler.ErrOrder), errors.Is(err, reconciler.ErrDecision):
		code = http.StatusConflict
	case errors.Is(err, engine.ErrUnavailable):
		code = http.StatusServiceUnavailable
	}
	http.Error(w, printable.Block(err.Error()), code)
}

func (s *Server) events(list func(bottle string, after uint64) []reconciler.Event) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		bottle, after, err := eventQuery(r)
		if err != nil {
			http.Error(w, printable.Line(err.Error()), http.StatusBadRequest)
			return
		}
		s.json(w, http.StatusOK, eventsAnswer{list(bottle, after)})
	}
}

// publicEvents are events without those of proposals, which have agents' words: as for withoutTraffic.
func (s *Server) publicEvents(bottle string, after uint64) []reconciler.Event {
	return slices.DeleteFunc(slices.Clone(s.o.Source.Events(bottle, after)), reconciler.Event.IsOfProposal)
}

func (s *Server) json(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.o.Log.Error().Err(err).Msg("api: answer")
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s\n", printable.JSON(data)) // curl shows it on a terminal
}

// status returns the source's status, with an empty list of bottles instead of none.
func (s *Server) status() reconciler.Status {
	status := s.o.Source.Status()
	if status.Bottles == nil {
		status.Bottles = []reconciler.BottleStatus{}
	}
	return status
}

// withoutTraffic leaves out the hosts that agents asked for: an agent may have put a secret into a name, which is not for every user of
// this host.
func withoutTraffic(status reconciler.Status) reconciler.Status {
	status.Bottles = slices.Clone(status.Bottles)
	for i := range status.Bottles {
		status.Bottles[i].Traffic = nil
	}
	return status
}
