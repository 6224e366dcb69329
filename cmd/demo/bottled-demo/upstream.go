package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// maxStream is the longest stream that a request may ask for.
const maxStream = 10 * time.Minute

func upstreamCommand() *cobra.Command {
	u := &upstream{}
	var plain, secure, certDir string
	cmd := &cobra.Command{
		Use:   "upstream",
		Short: "Serve a stand-in for an API, which tells what it was asked",
		Long: `Serve a stand-in for an API. Any path is answered with JSON: method, host, path, query and headers of the request, the
Authorization header in full. Every request is logged as the same JSON, one line on stdout, before it is answered.

/stream?seconds=N   server-sent events, five a second, for N seconds (default 5)
/status/N           the same JSON with the status N`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.log = json.NewEncoder(cmd.OutOrStdout())
			return u.serve(cmd.Context(), plain, secure, certDir)
		},
	}
	f := cmd.Flags()
	f.StringVar(&plain, "http", ":80", "`address` for plain HTTP; empty for none")
	f.StringVar(&secure, "https", ":443", "`address` for HTTPS; empty for none")
	f.StringVar(&certDir, "cert-dir", ".", "`directory` of server.pem and server.key, as made by prepare")
	f.BoolVar(&u.mask, "mask-authorization", false, "show the Authorization header in the log only, not in answers")
	return cmd
}

// eventStream is the type of server-sent events.
const eventStream = "text/event-stream"

// upstream is a stand-in for an API.
type upstream struct {
	mask bool

	mu  sync.Mutex
	log *json.Encoder
}

// seen is what the upstream saw of a request.
type seen struct {
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Query   string      `json:"query,omitempty"`
	TLS     bool        `json:"tls"`
	Headers http.Header `json:"headers"`
}

func (u *upstream) serve(ctx context.Context, plain, secure, certDir string) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(address string, serve func(*http.Server) error) {
		if address == "" {
			return
		}
		server := &http.Server{Addr: address, Handler: u, ReadHeaderTimeout: 10 * time.Second}
		group.Go(func() error {
			if err := serve(server); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", address, err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.Close() // streams would outlive any grace
		})
	}
	start(plain, (*http.Server).ListenAndServe)
	start(secure, func(s *http.Server) error {
		return s.ListenAndServeTLS(filepath.Join(certDir, certFile), filepath.Join(certDir, keyFile))
	})
	return group.Wait()
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := seen{Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, TLS: r.TLS != nil, Headers: r.Header.Clone()}
	if err := u.record(s); err != nil {
		fmt.Fprintln(os.Stderr, "bottled-demo: log a request:", err)
	}
	var err error
	if r.URL.Path == "/stream" {
		err = stream(w, r)
	} else {
		err = u.echo(w, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bottled-demo: answer", r.URL.Path+":", err)
	}
}

func (u *upstream) record(s seen) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.log.Encode(s)
}

func (u *upstream) echo(w http.ResponseWriter, s seen) error {
	if u.mask && s.Headers.Get("Authorization") != "" {
		s.Headers.Set("Authorization", "(only in the upstream's log)")
	}
	w.Header().Set("Content-Type", "application/json")
	if status, ok := statusOf(s.Path); ok {
		w.WriteHeader(status)
	}
	return json.NewEncoder(w).Encode(s)
}

// statusOf reads the status that a path asks for.
func statusOf(path string) (status int, ok bool) {
	text, ok := strings.CutPrefix(path, "/status/")
	status, err := strconv.Atoi(text)
	return status, ok && err == nil && status >= 200 && status <= 599
}

func stream(w http.ResponseWriter, r *http.Request) error {
	length, err := streamTime(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil
	}
	w.Header().Set("Content-Type", eventStream)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	end := time.After(length)
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", n, n); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		select {
		case <-end:
			return nil
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// streamTime reads the query's parameter.
func streamTime(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("seconds")
	if text == "" {
		return 5 * time.Second, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	d := time.Duration(n) * time.Second
	if err != nil || d > maxStream {
		return 0, fmt.Errorf("seconds=%s: a number from 0 to %d is needed", text, maxStream/time.Second)
	}
	return d, nil
}
