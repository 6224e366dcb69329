package credproxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
)

const (
	// maxConnections bounds the clients' connections.
	maxConnections = 4096
	// endTime bounds how long exchanges that were cut off take to end, so that their ends are audited.
	endTime = time.Second
)

// server serves HTTP/1 with package http1, and HTTP/2 with net/http. Both call the same handler.
type server struct {
	handler *handler
	http1   *http1.Server
	http2   *http2Server
}

func newServer(h *handler) *server {
	s := &server{handler: h, http2: newHTTP2Server(h)}
	s.http1 = &http1.Server{
		Handler: h.serve, HTTP2: s.http2.take, Name: role, Budget: spare, ErrorLog: h.errorLog,
		HeaderTimeout: headerTimeout, KeepAlive: keepAlive, MaxConnections: maxConnections,
	}
	return s
}

// Serve implements sidecar.Server.
func (s *server) Serve(listener net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http2.serve(listener.Addr()) }()
	if err := s.http1.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// Shutdown implements sidecar.Server: it waits until what was begun has ended, but not longer than ctx.
func (s *server) Shutdown(ctx context.Context) error {
	s.http1.Stop()
	err := s.http2.Shutdown(ctx)
	if err == nil {
		err = s.http1.Wait(ctx)
	}
	s.handler.audit.flush()
	return err
}

// Close implements sidecar.Server. What is open is cut off, and its end is audited.
func (s *server) Close() error {
	s.handler.watch.endAll(errStopping)
	s.http1.Cut()
	err := s.http2.Close()
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if s.handler.drained(ctx) != nil || s.http1.Wait(ctx) != nil {
		s.handler.errorLog.Print("some requests have not ended in time, and are not on record as ended")
	}
	s.handler.audit.flush()
	return err
}
