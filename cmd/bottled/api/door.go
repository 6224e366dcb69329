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

// budget bounds what the clients of one listener have together. Each listener has a budget of its own: whoever uses up that of the
// loopback address, which any user of the host can, takes nothing from the unix socket, which is the operator's.
type budget struct {
	connections int           // open at once; others wait to be accepted
	requests    int           // answered at once, but for streams; others get 503
	streams     int           // followed at once; others get 503
	header      int           // bytes of a request's header
	idle        time.Duration // between two requests of a connection
	answer      time.Duration // for reading a request, and for writing what is no stream
}

var (
	unixBudget = budget{connections: 512, requests: 128, streams: 64, header: 64 << 10, idle: 2 * time.Minute, answer: 30 * time.Second}
	tcpBudget  = budget{connections: 96, requests: 16, streams: 16, header: 16 << 10, idle: 30 * time.Second, answer: 10 * time.Second}
)

// headerTimeout is how long a client may take to send a request's header.
const headerTimeout = 10 * time.Second

// door is a listener with its budget.
type door struct {
	budget
	net.Listener
	requests chan struct{} // one element a request
	streams  chan struct{} // one element a stream
}

func newDoor(l net.Listener, b budget) *door {
	return &door{
		budget: b, Listener: netutil.LimitListener(l, b.connections),
		requests: make(chan struct{}, b.requests), streams: make(chan struct{}, b.streams),
	}
}

// within calls next when there is room, and refuses otherwise.
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
func (s *Server) serve(ctx context.Context, group *errgroup.Group, d *door, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the streams
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       d.answer,
		WriteTimeout:      d.answer, // streams set their own
		IdleTimeout:       d.idle,
		MaxHeaderBytes:    d.header,
		ErrorLog:          log.New(s.o.Log.With().Str("part", "api").Logger(), "", 0),
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
