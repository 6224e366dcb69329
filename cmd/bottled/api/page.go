package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Page is a web page that is served beside the API.
type Page interface {
	http.Handler
	// Link returns a host name and a path there that opens a session of a user, once. Browsers look for the name on this machine.
	Link(user string, readOnly bool) (host, path string)
}

// linkRequest is the body of POST /v1/links.
type linkRequest struct {
	ReadOnly bool `json:"readOnly,omitempty"`
}

// linkAnswer is the answer to it.
type linkAnswer struct {
	Link string `json:"link"`
}

// link makes a link to the page for whoever asks for it.
func (s *Server) link(w http.ResponseWriter, r *http.Request) {
	var body linkRequest
	by, ok := readRequest(w, r, &body, func() error { return nil })
	switch {
	case !ok:
		return
	case s.o.Page == nil || s.tcp == nil:
		http.Error(w, "the controller serves no page: start it with --listen 127.0.0.1:9300", http.StatusConflict)
		return
	}
	ip, port, err := net.SplitHostPort(s.tcp.Addr().String())
	switch {
	case err != nil:
		refuse(w, err)
		return
	case ip != "127.0.0.1" && ip != "::1":
		http.Error(w, fmt.Sprintf("browsers look for the page at 127.0.0.1, not at %s: start the controller with --listen 127.0.0.1:%s", ip, port), http.StatusConflict)
		return
	}
	host, path := s.o.Page.Link(by, body.ReadOnly)
	s.json(w, http.StatusOK, linkAnswer{"http://" + net.JoinHostPort(host, port) + path})
}

// withPage serves the page beside the API.
func (s *Server) withPage(api http.Handler) http.Handler {
	if s.o.Page == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") || slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, r.URL.Path) {
			api.ServeHTTP(w, r)
			return
		}
		s.o.Page.ServeHTTP(w, r)
	})
}

// Link asks for a link to the page, which works once and soon.
func (c *Client) Link(ctx context.Context, readOnly bool) (string, error) {
	text, err := json.Marshal(linkRequest{readOnly})
	if err != nil {
		return "", err
	}
	var answer linkAnswer
	err = c.call(ctx, http.MethodPost, "/v1/links", text, http.StatusOK, &answer)
	return answer.Link, err
}
