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
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
)

// Source is the running controller. Its methods are called from many goroutines.
type Source interface {
	Live() reconciler.Live
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

// maxStreams is how many clients may follow the status at once.
const maxStreams = 64

// grace is how long requests may go on after the end of the controller.
const grace = 2 * time.Second

// syncAnswer is the answer to POST /v1/sync.
type syncAnswer struct {
	Syncs int64 `json:"syncs"`
}

// Server listens; Serve makes it answer.
type Server struct {
	o       Options
	unix    net.Listener
	tcp     net.Listener  // nil for none
	streams chan struct{} // one element a stream
	pace    pace
}

// Listen takes the addresses, so that it is known early whether they can be had. Clients that connect wait for Serve.
func Listen(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, streams: make(chan struct{}, maxStreams), pace: defaultPace}
	var err error
	if o.TCP != "" {
		if s.tcp, err = listenTCP(ctx, o.TCP); err != nil {
			return nil, err
		}
	}
	if s.unix, err = listenUnix(ctx, o.Socket); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close gives up the addresses of a server that does not Serve.
func (s *Server) Close() error {
	var failed []error
	for _, l := range []net.Listener{s.unix, s.tcp} {
		if l != nil {
			failed = append(failed, l.Close())
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
	routes := s.routes()
	s.serve(ctx, group, s.unix, routes)
	if s.tcp != nil {
		s.serve(ctx, group, s.tcp, readOnly(routes))
	}
	return group.Wait()
}

func (s *Server) serve(ctx context.Context, group *errgroup.Group, l net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the streams
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      30 * time.Second, // streams set their own
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(s.o.Log.With().Str("part", "api").Logger(), "", 0),
	}
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := server.Shutdown(late)
		if errors.Is(err, context.DeadlineExceeded) {
			return server.Close()
		}
		return err
	})
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.o.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { s.json(w, http.StatusOK, live(s.o.Source)) })
	mux.HandleFunc("GET /v1/status/stream", s.stream)
	mux.HandleFunc("POST /v1/sync", func(w http.ResponseWriter, r *http.Request) {
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
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
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
	fmt.Fprintf(w, "%s\n", data)
}

// live is the source's status with a list, if an empty one, where programs expect a list.
func live(s Source) reconciler.Live {
	l := s.Live()
	if l.Bottles == nil {
		l.Bottles = []reconciler.BottleStatus{}
	}
	return l
}
