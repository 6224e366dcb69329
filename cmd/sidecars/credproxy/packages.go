package credproxy

import (
	"mime"
	"net/http"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// ownURL is how the agent reaches cred-proxy (contract).
var ownURL = contract.CredProxy.URL()

// rewritePackages has the addresses in a package registry's answer lead to the route. Its clients fetch a package from where the registry
// says it is: there they would have no token, which goes to nobody but the upstream.
func (r *route) rewritePackages(resp *http.Response) {
	if resp.StatusCode != http.StatusOK || resp.Request.Method != http.MethodGet {
		return
	}
	list := r.replacements(resp.Header)
	if list == nil {
		return
	}
	setBody(resp, &replacing{from: resp.Body, list: list}, -1)
}

// replacements are what is replaced in an answer of a package registry.
func (r *route) replacements(h http.Header) []replacement {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if encoding := h.Get("Content-Encoding"); err != nil || encoding != "" && encoding != "identity" {
		return nil
	}
	json := kind == "application/json" || strings.HasSuffix(kind, "+json")
	switch {
	case json && (r.npm || r.python):
		list := []replacement{r.replaceUpstream(`"`)}
		if r.python {
			list = append(list, r.replacePath(`"url":"`)...)
			list = append(list, r.replacePath(`"url": "`)...)
		}
		return list
	case r.python && (kind == "text/html" || kind == "application/vnd.pypi.simple.v1+html"):
		var list []replacement
		for _, before := range []string{`href="`, `href='`} {
			list = append(append(list, r.replaceUpstream(before)), r.replacePath(before)...)
		}
		return list
	}
	return nil
}

// replaceUpstream replaces the upstream's URL behind a text by the route's.
func (r *route) replaceUpstream(before string) replacement {
	return replacement{[]byte(before + r.upstreamURL()), []byte(before + ownURL + r.path)}
}

// replacePath replaces the upstream's path behind a text by the route's, and gives a URL without a scheme the upstream's.
func (r *route) replacePath(before string) []replacement {
	withoutScheme := strings.TrimPrefix(r.upstreamURL(), r.upstream.Scheme+":")
	return []replacement{
		{[]byte(before + withoutScheme), []byte(before + r.path)},
		{[]byte(before + "//"), []byte(before + r.upstream.Scheme + "://")},
		{[]byte(before + upstreamPath(r.upstream)), []byte(before + r.path)},
	}
}

// withoutRepeatedBase returns the path of a package of npm as it is below the route. For a package that a lock file has at the upstream's
// own address, npm appends the whole path of that to the registry's, with the upstream's path in it (replace-registry-host; npm/cli#9672
// mended it in 2026).
func (r *route) withoutRepeatedBase(path string) string {
	if !r.npm {
		return path
	}
	base := strings.TrimPrefix(upstreamPath(r.upstream), "/")
	rest, repeated := strings.CutPrefix(strings.TrimPrefix(path, r.path), base)
	// Only a package's path has this segment, and its name has no slash but for the one of a scope.
	if !repeated || base == "" || base[0] == '@' || !strings.Contains(rest, "/-/") {
		return path
	}
	return r.path + rest
}
