package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
)

// PageHost is the name under which browsers reach the page. It leads to this machine (RFC 6761), and nothing else on it has the name: what an
// agent serves on a forwarded port, at 127.0.0.1 or localhost, is another site for a browser, and gets no cookie of the page's.
const PageHost = "bottled.localhost"

// Page is a web page that is served beside the API.
type Page interface {
	http.Handler
	// Link returns a path that opens a session of a user, once.
	Link(user string, readOnly bool) string
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
	_, port, err := net.SplitHostPort(s.tcp.Addr().String())
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusOK, linkAnswer{"http://" + net.JoinHostPort(PageHost, port) + s.o.Page.Link(by, body.ReadOnly)})
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
