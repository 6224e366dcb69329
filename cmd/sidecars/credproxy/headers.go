package credproxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
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

// misleadingHeaders name another target or client than the request line and the connection do, or ask for what
// cred-proxy decides.
var misleadingHeaders = names{"Forwarded", "X-Original-Url", "X-Rewrite-Url", "X-Real-Ip", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "Expect"}

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

// mayBeSent tells whether a client's header reaches the upstream.
func mayBeSent(name string) bool {
	if plainHeaders[name] {
		return true
	}
	return !hopHeaders.has(name) && !misleadingHeaders.has(name) && !strings.HasPrefix(name, "X-Forwarded-") && !isCredential(name)
}

// mayShow tells whether a header of the upstream's response reaches the client. One in which the upstream repeats
// the token does not.
func (r *route) mayShow(name string, values []string) bool {
	switch {
	case hopHeaders.has(name), hiddenHeaders.has(name), name == "Set-Cookie" && !r.allowSetCookie:
		return false
	}
	return !slices.ContainsFunc(values, r.auth.token.isIn) && !r.auth.token.isIn(name)
}

// mayTrail tells whether a field of the upstream's trailer reaches the client.
func (r *route) mayTrail(name string, values []string) bool {
	return !trailerless.has(name) && r.mayShow(name, values)
}
