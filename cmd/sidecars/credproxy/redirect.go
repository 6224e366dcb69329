package credproxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// offRoute is an upstream's redirect to a place that its route does not cover.
type offRoute struct{ host string }

func (e *offRoute) Error() string {
	return fmt.Sprintf("the upstream redirected to %s, which is outside of this route; redirects are not followed with the route's token", e.host)
}

// rewriteLocation makes a Location that stays below the route's upstream a path of the route. Any other
// redirect is an error: followed by the proxy it would take the token elsewhere, and handed to the client
// it would be whatever the upstream put in it (signed URLs are credentials too).
func (r *route) rewriteLocation(resp *http.Response) error {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil
	}
	rewritten, host := r.ownPath(resp.Request.URL, location)
	switch {
	case rewritten != "":
		resp.Header.Set("Location", rewritten)
	case resp.StatusCode/100 == 3:
		return &offRoute{host: host}
	default: // 201 and the like: only a hint
		resp.Header.Del("Location")
	}
	return nil
}

// ownPath returns where location is on this route, or "" and the host that it names instead.
func (r *route) ownPath(from *url.URL, location string) (path, host string) {
	to, err := from.Parse(location)
	if err != nil {
		return "", "a malformed URL"
	}
	base := upstreamPath(r.upstream)
	raw := to.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	if to.User != nil || origin(to) != origin(r.upstream) || !strings.HasPrefix(raw, base) || checkPath(raw) != nil {
		return "", oneLine(to.Host)
	}
	own := url.URL{Path: "/", RawQuery: to.RawQuery, Fragment: to.Fragment}
	return r.path + strings.TrimPrefix(raw, base) + strings.TrimPrefix(own.String(), "/"), ""
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
