// Package api is how a running controller is talked to on its host: HTTP/1.1 on a unix socket and, for reading only, on a
// loopback address.
//
//	GET  /healthz           200 while it runs
//	GET  /readyz            200, or 503 with the reason
//	GET  /metrics           in Prometheus' text format
//	GET  /v1/status         reconciler.Live as JSON
//	GET  /v1/status/stream  server-sent events "status", each with the whole reconciler.Live: one at once, one after every change
//	POST /v1/sync           202: a full resync begins; it is done when controller.syncs has reached the answer's syncs
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// Source is the running controller. Its methods are called from many goroutines.
type Source interface {
	Status() reconciler.Status
	// Changed returns a channel that receives (capacity 1, level-triggered) whenever Live may have changed, and a function
	// that ends that.
	Changed() (<-chan struct{}, func())
	// Sync asks for a full resync now and returns what ControllerStatus.Syncs will have reached when it is done. With
	// confirm, bottles go that are only kept because their removal looks like an accident.
	Sync(confirm bool) int64
	// Ready is nil once the first sync is done and the engine answers; otherwise it says why not.
	Ready() error
}

// Options of a server.
type Options struct {
	Source  Source
	Metrics prometheus.Gatherer
	Socket  string // path of the unix socket
	TCP     string // loopback host:port, also served, for reading only; "" for none
	Log     zerolog.Logger
}

// grace is how long requests may go on after the end of the controller.
const grace = 2 * time.Second

// syncAnswer is the answer to POST /v1/sync.
type syncAnswer struct {
	Syncs int64 `json:"syncs"`
}

// Server listens; Serve makes it answer.
type Server struct {
	o    Options
	unix *door
	tcp  *door // nil for none
	pace pace
}

// Listen takes the addresses, so that it is known early whether they can be had. Clients that connect wait for Serve.
func Listen(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, pace: defaultPace}
	if o.TCP != "" {
		l, err := listenTCP(ctx, o.TCP)
		if err != nil {
			return nil, err
		}
		s.tcp = newDoor(l, tcpBudget)
	}
	l, err := listenUnix(ctx, o.Socket)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.unix = newDoor(l, unixBudget)
	return s, nil
}

// Close gives up the addresses of a server that does not Serve.
func (s *Server) Close() error {
	var failed []error
	for _, d := range []*door{s.unix, s.tcp} {
		if d != nil {
			failed = append(failed, d.Close())
		}
	}
	return errors.Join(failed...)
}

// TCPAddr is where it listens on TCP; nil if it does not.
func (s *Server) TCPAddr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Serve answers until ctx ends, which ends all streams, and returns when everything is closed and the socket removed.
func (s *Server) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	s.serve(ctx, group, s.unix, s.routes(s.unix))
	if s.tcp != nil {
		s.serve(ctx, group, s.tcp, readOnly(s.routes(s.tcp)))
	}
	return group.Wait()
}

func (s *Server) routes(d *door) http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, next http.HandlerFunc) {
		mux.HandleFunc(pattern, within(d.requests, "requests are being answered", next))
	}
	answer("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	answer("GET /readyz", s.ready)
	answer("GET /metrics", promhttp.HandlerFor(s.o.Metrics, promhttp.HandlerOpts{}).ServeHTTP)
	answer("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { s.json(w, http.StatusOK, live(s.o.Source)) })
	mux.HandleFunc("GET /v1/status/stream", within(d.streams, "clients follow the status", s.stream))
	answer("POST /v1/sync", func(w http.ResponseWriter, r *http.Request) {
		s.json(w, http.StatusAccepted, syncAnswer{s.o.Source.Sync(r.URL.Query().Get("prune") == "all")})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// readOnly is what TCP gets, where a user can't be told from another, nor a program from a page in a browser: a page whose
// name was made to resolve to a loopback address bears its own name in the Host header.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // without a port
			host = strings.Trim(r.Host, "[]")
		}
		switch {
		case !isLoopback(host):
			http.Error(w, fmt.Sprintf("host %q: only a loopback address or localhost is served", host), http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
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

// live is the source's status with a list, if an empty one, where programs expect a list.
func live(s Source) reconciler.Status {
	l := s.Status()
	if l.Bottles == nil {
		l.Bottles = []reconciler.BottleStatus{}
	}
	return l
}
