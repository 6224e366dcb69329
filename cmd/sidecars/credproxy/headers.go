package credproxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// names is a short list of canonical header names.
type names []string

func (n names) has(name string) bool { return slices.Contains(n, name) }

// hopHeaders belong to one connection and are passed on in neither direction (RFC 9110, section 7.6.1; the last
// but two of them by older custom).
var hopHeaders = names{
	"Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Keep-Alive", "Http2-Settings", "Proxy-Authentication-Info",
}

// isHop has the folded names of hopHeaders.
var isHop = func() map[string]bool {
	set := map[string]bool{}
	for _, name := range hopHeaders {
		set[model.Fold(name)] = true
	}
	return set
}()

// plainHeaders are common ones that need no closer look.
var plainHeaders = map[string]bool{
	"Accept": true, "Accept-Language": true, "Anthropic-Beta": true, "Anthropic-Version": true, "Cache-Control": true, "Content-Encoding": true,
	"Content-Type": true, "If-Modified-Since": true, "If-None-Match": true, "Range": true, "User-Agent": true,
}

// hiddenHeaders of a response would send the client elsewhere, or are about what it does not get.
var hiddenHeaders = names{"Alt-Svc", "Refresh", "Set-Cookie2"}

// trailerless are headers that a trailer must not change.
var trailerless = names{"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Location", "Host"}

// connectionNames are the headers that a Connection header declares to be of that connection.
func connectionNames(h http.Header) names {
	var named names
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				named = append(named, http.CanonicalHeaderKey(name))
			}
		}
	}
	return named
}

// asksForWebSocket reports whether a client wants to speak WebSocket. Other offers to upgrade, like that of HTTP/2 which Java's client
// makes, are ignored as RFC 9110, section 7.8 allows: Upgrade is not sent on, and the response is that of HTTP/1.1.
func asksForWebSocket(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Upgrade"), func(value string) bool {
		return strings.Contains(strings.ToLower(value), "websocket")
	}) || len(h.Values("Sec-Websocket-Key")) > 0
}

// mayBeSent reports whether a client's header reaches the upstream. A spelling of a plain header that servers may take for
// it (Content_Type) does not.
func mayBeSent(name string) bool {
	if plainHeaders[name] {
		return true
	}
	return !isHop[model.Fold(name)] && !model.IsWithheldHeader(name) && !model.IsCredential(name) && !model.IsReservedHeader(name)
}

// setFixed sets a route's fixed headers in place of the client's, in any spelling. A list gets those of the client's elements that it
// lacks.
func setFixed(h http.Header, fixed map[string]string) {
	for name, value := range fixed {
		folded := model.Fold(name)
		elements := strings.Split(value, ",")
		for sent, values := range h {
			if model.Fold(sent) != folded {
				continue
			}
			delete(h, sent)
			elements = append(elements, strings.Split(strings.Join(values, ","), ",")...)
		}
		if model.IsListHeader(name) {
			value = joinList(elements)
		}
		h.Set(name, value)
	}
}

// Anthropic takes the tokens of a subscription (claude setup-token) only with an element of the list in betaHeader. Claude Code sends it with
// a token that it got itself, and not with one from ANTHROPIC_AUTH_TOKEN (anthropics/claude-code#5983).
const (
	betaHeader       = "anthropic-beta"
	oauthBeta        = "oauth-2025-04-20"
	oauthTokenPrefix = "sk-ant-oat" //nolint:gosec // how such a token begins
)

// fixedHeaders returns the headers that each request gets: the declared ones, and for such a token, unless those have it, betaHeader.
func (r *route) fixedHeaders() map[string]string {
	fixed := map[string]string{}
	token := r.auth.token
	if r.conf.Has(model.RoleAnthropicBaseURL) && r.auth.scheme != "" && token.isSet() && strings.HasPrefix(token.reveal(), oauthTokenPrefix) {
		fixed[betaHeader] = oauthBeta
	}
	for name, value := range r.conf.Headers {
		if model.Fold(name) == model.Fold(betaHeader) {
			delete(fixed, betaHeader)
		}
		fixed[name] = value
	}
	return fixed
}

// joinList writes a list (RFC 9110, section 5.6.1) with each of its elements once.
func joinList(elements []string) string {
	var list []string
	for _, element := range elements {
		if element = textproto.TrimString(element); element != "" && !slices.Contains(list, element) {
			list = append(list, element)
		}
	}
	return strings.Join(list, ", ")
}

// mayShow reports whether a header of the upstream's response reaches the client. One in which the upstream repeats
// the token does not.
func (r *route) mayShow(name string, values []string) bool {
	switch {
	case hopHeaders.has(name), hiddenHeaders.has(name), name == "Set-Cookie" && !r.allowSetCookie:
		return false
	}
	return !slices.ContainsFunc(values, r.auth.token.isIn) && !r.auth.token.isIn(name)
}

// mayTrail reports whether a field of the upstream's trailer reaches the client.
func (r *route) mayTrail(name string, values []string) bool {
	return !trailerless.has(name) && r.mayShow(name, values)
}
