package manifests

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// validateUpstream judges where a route leads. Problems show at most the host: the rest of a URL may hold
// a secret.
func (d *document) validateUpstream(route string, r Route) {
	field := route + ".upstream"
	if !d.given(field) {
		return
	}
	u, err := url.Parse(r.Upstream)
	if err != nil || !strings.Contains(r.Upstream, "://") || u.Host == "" {
		d.report(field, "it is not an absolute URL", upstreamFix(r.Upstream))
		return
	}
	d.validateScheme(route, r)
	for _, f := range []*scalar.Fault{checkUserInfo(u), checkQuery(r.Upstream), checkPort(u), checkUpstreamPath(u), scalar.CheckHost(u.Hostname(), d.private)} {
		if f != nil {
			d.report(field, f.Reason, f.Fix)
		}
	}
}

func upstreamFix(upstream string) string {
	if host, _, _ := strings.Cut(upstream, "/"); scalar.IsHostName(host) {
		return "write https://" + strings.ToLower(host) + " and what follows"
	}
	return "write https://HOST or https://HOST/PATH"
}

func (d *document) validateScheme(route string, r Route) {
	scheme, _, _ := strings.Cut(r.Upstream, "://")
	switch {
	case scheme != "http" && scheme != "https":
		d.report(route+".upstream", "its scheme is not https", "begin it with https://")
	case scheme == "http" && !r.InsecureUpstream && !d.unusable[route+".insecureUpstream"]:
		d.report(route+".upstream", "over plain http everybody on the way can read the token", "use https, or set insecureUpstream: true for this route if the network is yours alone")
	case scheme == "https" && r.InsecureUpstream:
		d.report(route+".insecureUpstream", "the upstream uses https already", "remove insecureUpstream")
	}
}

func checkUserInfo(u *url.URL) *scalar.Fault {
	if u.User == nil {
		return nil
	}
	return scalar.NewFault("it holds a user name or password", "remove everything up to the @, and revoke it if others could read this file; the token is found with token")
}

func checkQuery(upstream string) *scalar.Fault {
	if !strings.ContainsAny(upstream, "?#") {
		return nil
	}
	return scalar.NewFault("it has a query or a fragment", "remove all from the ? or # on")
}

func checkPort(u *url.URL) *scalar.Fault {
	if number, err := strconv.ParseUint(u.Port(), 10, 16); strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || number == 0) {
		return scalar.NewFault("its port is not a number from 1 to 65535", "write a port after the colon, or remove the colon")
	}
	return nil
}

// checkUpstreamPath keeps out what would leave open which path a request goes to.
func checkUpstreamPath(u *url.URL) *scalar.Fault {
	const fix = "write the path without // . .. ; and backslash"
	if strings.Contains(u.Path, "//") || strings.ContainsAny(u.Path, `\;`) {
		return scalar.NewFault("its path is not clean", fix)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return scalar.NewFault("its path is not clean", fix)
		}
	}
	for i := range len(u.Path) {
		if u.Path[i] < ' ' || u.Path[i] == 0x7f {
			return scalar.NewFault("its path has a control character", "remove it")
		}
	}
	return nil
}

// canonicalUpstream writes the host of a valid upstream in lower case.
func canonicalUpstream(upstream string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return upstream
	}
	return strings.Replace(upstream, u.Host, strings.ToLower(u.Host), 1)
}
