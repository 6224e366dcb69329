package credproxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// offRoute is an upstream's redirect that is not passed on.
type offRoute struct{ reason string }

func (e *offRoute) Error() string { return "the upstream redirected to " + e.reason }

func refuseRedirect(format string, args ...any) error { return &offRoute{fmt.Sprintf(format, args...)} }

// rewriteLocation makes a Location that stays below the route's upstream a path of the route. The client may follow it to another place
// that the bottle's allowlist opens, without the token: registries and forges send their clients to storage that way, whose signed
// URLs take no other credential. Any other redirect is an error.
func (x *exchange) rewriteLocation(resp *http.Response) error {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil
	}
	to, err := resp.Request.URL.Parse(location)
	if err != nil {
		err = refuseRedirect("a malformed URL")
	} else if own := x.route.ownPath(to); own != "" {
		resp.Header.Set("Location", own)
		return nil
	} else if err = x.mayLeave(to, location); err == nil {
		to.User = nil
		resp.Header.Set("Location", to.String())
		return nil
	}
	if resp.StatusCode/100 == 3 {
		return err
	}
	resp.Header.Del("Location") // of 201 and the like: only a hint
	return nil
}

// ownPath returns where a URL is on this route; "" for nowhere.
func (r *route) ownPath(to *url.URL) string {
	base := upstreamPath(r.upstream)
	raw := to.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	if origin(to) != origin(r.upstream) || !strings.HasPrefix(raw, base) || checkPath(raw) != nil {
		return ""
	}
	own := url.URL{Path: "/", RawQuery: to.RawQuery, Fragment: to.Fragment}
	return r.path + strings.TrimPrefix(raw, base) + strings.TrimPrefix(own.String(), "/")
}

// mayLeave returns why a client must not be sent to a URL off the route; nil if it may. The bottle's own components are never a place to
// be sent to: an upstream could have the agent use another route.
func (x *exchange) mayLeave(to *url.URL, location string) error {
	host := oneLine(to.Host)
	switch {
	case len(host) == 0 || len(host) > maxHostBytes || to.Scheme != "https" && to.Scheme != "http":
		return refuseRedirect("a URL that is not one of HTTP with a host")
	case x.route.auth.token.isInAnyReading(location):
		return refuseRedirect("a URL that has the route's token in it")
	case contract.IsName(strings.ToLower(strings.TrimSuffix(to.Hostname(), "."))):
		return refuseRedirect("%s, which is a part of this bottle", host)
	case to.Scheme == "http" && x.route.upstream.Scheme == "https":
		return refuseRedirect("http://%s: what it sends there could be read on the way", host)
	case !x.table.hosts.Opens(to):
		return refuseRedirect("%s, which is outside of this route, and not in this bottle's allowlist: "+
			"to let the client go there without the token, add %[1]s to spec.egress.allowlist", host)
	}
	return nil
}

// maxHostBytes is the longest host name with a port.
const maxHostBytes = 253 + len(":65535")

// isInAnyReading reports whether a URL holds the secret, also percent-encoded in a way of its own.
func (s secret) isInAnyReading(location string) bool {
	if s.isIn(location) {
		return true
	}
	for range maxDecodings {
		decoded, err := url.PathUnescape(location)
		if err != nil || decoded == location {
			return false
		}
		if location = decoded; s.isIn(location) {
			return true
		}
	}
	return true // nobody encodes more often without a purpose
}

// rewriteLinks has the Link header, by which APIs name the next page of a list, lead to the route.
func (r *route) rewriteLinks(h http.Header) {
	links := h.Values("Link")
	for i, link := range links {
		links[i] = strings.ReplaceAll(link, "<"+r.upstreamURL(), "<"+ownURL+r.path)
	}
}

// upstreamURL is the URL that the route's own stands for, with a slash at its end.
func (r *route) upstreamURL() string {
	return r.upstream.Scheme + "://" + r.upstream.Host + upstreamPath(r.upstream)
}

// upstreamPath is what a route's own path is replaced by: encoded, with a slash at its end.
func upstreamPath(upstream *url.URL) string {
	return strings.TrimSuffix(upstream.EscapedPath(), "/") + "/"
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
