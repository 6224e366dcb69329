package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// serveCommand is an agent with a page to look at, as a development server has.
func serveCommand() *cobra.Command {
	var page, raw string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a page, an upgraded connection that echoes, and a service that answers when its client has ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var config net.ListenConfig
			pages, err := config.Listen(cmd.Context(), "tcp", page)
			if err != nil {
				return err
			}
			counts, err := config.Listen(cmd.Context(), "tcp", raw)
			if err != nil {
				return errors.Join(err, pages.Close())
			}
			server := &http.Server{Handler: pageHandler(), ReadHeaderTimeout: time.Minute}
			failed := make(chan error, 2)
			go func() { failed <- server.Serve(pages) }()
			go func() { failed <- serveCounts(counts) }()
			select {
			case err := <-failed:
				return err
			case <-cmd.Context().Done():
				return errors.Join(server.Shutdown(context.WithoutCancel(cmd.Context())), endedByTerm)
			}
		},
	}
	cmd.Flags().StringVar(&page, "page", "0.0.0.0:3000", "address of the page")
	cmd.Flags().StringVar(&raw, "count", "0.0.0.0:4000", "address of the service that counts bytes")
	return cmd
}

func pageHandler() http.Handler {
	mux := http.NewServeMux()
	started := time.Now()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "a page of the agent, process %d of %s\n", os.Getpid(), started.Format(time.RFC3339Nano))
	})
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		echo(conn, buffered, r.Header.Get("Upgrade"))
	})
	return mux
}

// echo speaks another protocol, as after a WebSocket's handshake.
func echo(conn net.Conn, buffered *bufio.ReadWriter, protocol string) {
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol); err == nil {
		_, _ = io.Copy(conn, buffered.Reader)
	}
}

// serveCounts answers each client, when it has ended, how much it has said.
func serveCounts(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if n, err := io.Copy(io.Discard, conn); err == nil {
				_, _ = fmt.Fprintf(conn, "%d bytes\n", n)
			}
		}()
	}
}
