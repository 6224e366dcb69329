package credproxy

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// auth is the credential of a route and its place in a request: the Authorization header behind a scheme, a header
// of its own, or a query parameter. Exactly one of the three is set.
type auth struct {
	scheme string
	header string
	query  string
	token  secret
}

// inject puts the token into a header, or returns the query with it.
func (a auth) inject(h http.Header, query string) string {
	switch {
	case a.query != "":
		return strings.TrimPrefix(query+"&", "&") + a.query + "=" + url.QueryEscape(a.token.reveal())
	case a.header != "":
		h.Set(a.header, a.token.reveal())
	default:
		h.Set("Authorization", a.scheme+" "+a.credentials())
	}
	return query
}

// credentials follow the scheme. With Basic a value of the form user:password is encoded as RFC 7617 wants; a value
// without a colon is taken to be encoded already, since base64 has none.
func (a auth) credentials() string {
	value := a.token.reveal()
	if strings.EqualFold(a.scheme, "Basic") && strings.Contains(value, ":") {
		return base64.StdEncoding.EncodeToString([]byte(value))
	}
	return value
}

// stripOwn removes what a client sent in the place of the route's own header.
func (a auth) stripOwn(h http.Header) {
	if a.header == "" {
		return
	}
	folded := model.Fold(a.header)
	for name := range h {
		if model.Fold(name) == folded {
			delete(h, name)
		}
	}
}
