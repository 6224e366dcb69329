package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	certs := flag.String("certs", "/certs", "`directory` of server.pem, server.key and token")
	flag.Parse()
	if err := run(*certs); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

func run(certs string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	token, err := os.ReadFile(filepath.Join(certs, "token"))
	if err != nil {
		return err
	}
	repositories, err := newRepositories()
	if err != nil {
		return err
	}
	services := internet{token: strings.TrimSpace(string(token))}
	mux := http.NewServeMux()
	mux.Handle("api.model.example/", services.guarded(newModel()))
	mux.Handle("git.example/", services.guarded(repositories))
	mux.Handle("npm.example/registry/", services.guarded(compressed(newNPM())))
	mux.Handle("pypi.example/simple/", compressed(newPythonIndex("/simple/", "https://files.example/pypi/")))
	mux.Handle("pypi.example/private/", services.guarded(compressed(newPythonIndex("/private/simple/", "https://pypi.example/private/files/"))))
	mux.Handle("goproxy.example/", newModules("/"))
	mux.Handle("goproxy.example/private/", services.guarded(newModules("/private/")))
	mux.Handle("cargo.example/crates/", services.guarded(compressed(newCrates())))
	mux.Handle("files.example/", newFiles())
	mux.Handle("docs.example/", newSite())
	services.mux = mux
	return services.serve(ctx, certs)
}

// internet is all services.
type internet struct {
	token string
	mux   http.Handler
}

func (i internet) serve(ctx context.Context, certs string) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(address string, serve func(*http.Server) error) {
		server := &http.Server{Addr: address, Handler: i, ReadHeaderTimeout: 10 * time.Second}
		group.Go(func() error {
			if err := serve(server); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", address, err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	start(":80", (*http.Server).ListenAndServe)
	start(":443", func(s *http.Server) error {
		return s.ListenAndServeTLS(filepath.Join(certs, "server.pem"), filepath.Join(certs, "server.key"))
	})
	return group.Wait()
}

// ServeHTTP logs the request, and has the service that it names answer.
func (i internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, host := "http", strings.TrimSuffix(r.Host, ":80")
	if r.TLS != nil {
		scheme, host = "https", strings.TrimSuffix(r.Host, ":443")
	}
	line := fmt.Sprintf("%s %s://%s%s auth=%s", r.Method, scheme, host, r.URL.RequestURI(), i.credential(r))
	for _, name := range []string{"Content-Encoding", "Anthropic-Beta"} {
		if value := r.Header.Get(name); value != "" {
			line += fmt.Sprintf(" %s=%q", strings.ToLower(name), value)
		}
	}
	fmt.Println(line)
	i.mux.ServeHTTP(w, r)
}

// credential is what a request is authenticated by: token, none, or other.
func (i internet) credential(r *http.Request) string {
	found := "none"
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} {
		_, password, _ := r.BasicAuth()
		switch value := strings.TrimPrefix(r.Header.Get(name), "Bearer "); {
		case value == "":
		case value == i.token, name == "Authorization" && password == i.token:
			found = "token"
		default:
			return "other"
		}
	}
	return found
}

// guarded refuses requests without the token.
func (i internet) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.credential(r) != "token" {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+r.Host+`"`)
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
