package route

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// checkUpstream validates where a route leads. Problems show at most the host: the rest of a URL may hold
// a secret.
func (c *checker) checkUpstream(route string, r Route) {
	field := route + ".upstream"
	if !c.fields.Usable(field) {
		return
	}
	u, err := url.Parse(r.Upstream)
	if err != nil || !strings.Contains(r.Upstream, "://") || u.Host == "" {
		c.report(field, "it is not an absolute URL", upstreamFix(r.Upstream))
		return
	}
	c.checkScheme(route, r)
	for _, f := range []*scalar.Fault{c.userInfoFault(u), queryFault(r.Upstream), portFault(u), upstreamPathFault(u), c.hostFault(u)} {
		if f != nil {
			c.fault(field, f)
		}
	}
}

func upstreamFix(upstream string) string {
	if host, _, _ := strings.Cut(upstream, "/"); scalar.IsHostName(host) {
		return "write https://" + strings.ToLower(host) + " and what follows"
	}
	return "write https://HOST or https://HOST/PATH"
}

func (c *checker) checkScheme(route string, r Route) {
	upstream, insecure := route+".upstream", route+".insecureUpstream"
	scheme, _, _ := strings.Cut(r.Upstream, "://")
	if !c.strict {
		scheme = strings.ToLower(scheme)
	}
	switch {
	case scheme != "http" && scheme != "https":
		c.report(upstream, "its scheme is not https", "begin it with https://")
	case scheme == "http" && !r.InsecureUpstream && (c.fields.Usable(insecure) || !c.fields.Has(insecure)):
		c.report(upstream, "over plain http everybody on the way can read the token", c.key("use https, or set insecureUpstream: true for this route if the network is yours alone"))
	case scheme == "https" && r.InsecureUpstream && c.strict:
		c.report(insecure, "the upstream uses https already", c.key("remove insecureUpstream"))
	}
}

func (c *checker) userInfoFault(u *url.URL) *scalar.Fault {
	if u.User == nil {
		return nil
	}
	token := "token"
	if c.wire {
		token = c.key("tokenSlot")
	}
	return scalar.NewFault("it holds a user name or password", "remove everything up to the @, and revoke it if others could read this file; the token is found with "+token)
}

func queryFault(upstream string) *scalar.Fault {
	if !strings.ContainsAny(upstream, "?#") {
		return nil
	}
	return scalar.NewFault("it has a query or a fragment", "remove all from the ? or # on")
}

func portFault(u *url.URL) *scalar.Fault {
	if number, err := strconv.ParseUint(u.Port(), 10, 16); strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || number == 0) {
		return scalar.NewFault("its port is not a number from 1 to 65535", "write a port after the colon, or remove the colon")
	}
	return nil
}

// upstreamPathFault keeps out what would leave open which path a request goes to.
func upstreamPathFault(u *url.URL) *scalar.Fault {
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

// hostFault validates an upstream's host: as an entry of the allowlist, or by its form only.
func (c *checker) hostFault(u *url.URL) *scalar.Fault {
	host := u.Hostname()
	if c.strict {
		return scalar.CheckHost(host, c.private)
	}
	pattern := servedName
	if strings.HasPrefix(u.Host, "[") {
		pattern = servedIPv6
	}
	if len(host) > 253 || strings.Contains(host, "..") || !pattern.MatchString(host) {
		return scalar.NewFault("its host is not valid", "write a host name, an international one in its xn-- form, or an address without a zone")
	}
	return nil
}

var (
	servedName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	servedIPv6 = regexp.MustCompile(`^[0-9A-Fa-f:.]+$`)
)
