package api

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// budget limits what the clients of one listener use together. Each listener has its own: any user of the host can exhaust that of
// the loopback address, which must not take anything from the unix socket, the operator's.
type budget struct {
	connections int           // open at once; more wait to be accepted
	requests    int           // answered at once, not counting streams; more get 503
	streams     int           // open at once; more get 503
	header      int           // limit of a request's header, in bytes
	idle        time.Duration // keep-alive: between two requests of a connection
	answer      time.Duration // for reading a request, and for writing an answer that is no stream
}

var (
	unixBudget = budget{connections: 512, requests: 128, streams: 64, header: 64 << 10, idle: 2 * time.Minute, answer: 30 * time.Second}
	tcpBudget  = budget{connections: 96, requests: 16, streams: 16, header: 16 << 10, idle: 30 * time.Second, answer: 10 * time.Second}
)

// headerTimeout limits how long a client takes to send a request's header.
const headerTimeout = 10 * time.Second

// boundedListener is a listener with a budget.
type boundedListener struct {
	budget
	net.Listener
	requests chan struct{} // semaphore
	streams  chan struct{} // semaphore
}

func newBoundedListener(l net.Listener, b budget) *boundedListener {
	return &boundedListener{
		budget: b, Listener: netutil.LimitListener(l, b.connections),
		requests: make(chan struct{}, b.requests), streams: make(chan struct{}, b.streams),
	}
}

// within calls next when a slot is free, and answers 503 otherwise.
func within(slots chan struct{}, what string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, fmt.Sprintf("%d %s already", cap(slots), what), http.StatusServiceUnavailable)
		}
	}
}

// serve answers until ctx ends, which ends all streams.
func (s *Server) serve(ctx context.Context, group *errgroup.Group, d *boundedListener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the streams
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       d.answer,
		WriteTimeout:      d.answer, // streams set their own
		IdleTimeout:       d.idle,
		MaxHeaderBytes:    d.header,
		ConnContext:       withPeer,
		ErrorLog:          log.New(s.o.Log.With().Str("server", "api").Logger(), "", 0),
	}
	group.Go(func() error {
		if err := server.Serve(d); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", d.Addr(), err)
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
