package main

import (
	"io"
	"net/http"
	"strings"
)

// newFiles is a store like S3: an address is signed, and a request with another credential as well is refused. Python's files need
// no signature, as those of pypi.org.
func newFiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pypi/{name}", serveWheel)
	mux.HandleFunc("GET /npm/{name}", func(w http.ResponseWriter, r *http.Request) {
		archive, err := npmPackage(r.PathValue("name"))
		send(w, archive, err)
	})
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the asset\n") // fails only when the client is gone
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "":
			http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
		case r.URL.Query().Get("X-Amz-Signature") == "" && !strings.HasPrefix(r.URL.Path, "/pypi/"):
			http.Error(w, "AccessDenied", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// newSite is a public site.
func newSite() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the documentation\n") // fails only when the client is gone
	})
	return mux
}
