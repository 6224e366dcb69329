package pipelock

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// target is the destination of a request in canonical form, for matching, resolving and logging.
type target struct {
	// host is a lower-case DNS name without a trailing dot, or the canonical form of addr.
	host string
	addr netip.Addr // valid when the host is an IP address
	port uint16
}

func (t target) String() string {
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// connectTarget parses the target of a CONNECT request from the raw request line. net/http is more lenient than RFC 9110: it accepts user
// information, paths, or a Host header instead.
func connectTarget(r *http.Request) (target, error) {
	host, port, ok := cutPort(r.RequestURI)
	if !ok {
		return target{}, malformed("CONNECT needs host:port")
	}
	return newTarget(host, port)
}

// absoluteTarget parses the target of an absolute-form request. net/http has replaced the Host header by the URL's host.
func absoluteTarget(u *url.URL) (target, error) {
	switch {
	case u.Scheme != "http":
		refused := malformed("scheme %.16q not allowed: use http, or CONNECT for https", u.Scheme)
		refused.hint = hintScheme
		return target{}, refused
	case u.Opaque != "" || u.Host == "":
		return target{}, malformed("the URL has no host")
	case u.User != nil:
		return target{}, malformed("the URL has user information before its host")
	}
	host, port, ok := cutPort(u.Host)
	if !ok {
		host, port = u.Host, "80"
	}
	return newTarget(host, port)
}

// cutPort splits at the last colon unless that is part of a bracketed address. Unlike
// net.SplitHostPort it leaves the brackets on, so that parseHost can insist on them.
func cutPort(authority string) (host, port string, ok bool) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || i < strings.LastIndexByte(authority, ']') {
		return authority, "", false
	}
	return authority[:i], authority[i+1:], true
}

func newTarget(host, port string) (target, error) {
	name, addr, err := parseHost(host)
	if err != nil {
		return target{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return target{}, malformed("the port is not a number between 1 and 65535")
	}
	return target{host: name, addr: addr, port: uint16(n)}, nil
}

// parseHost returns the canonical form of a host. It refuses all but DNS names and addresses in their usual notation: other programs would
// parse the rest differently, so that the host that is dialed might not be the one that was checked.
func parseHost(host string) (string, netip.Addr, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		return parseIPv6(strings.TrimSuffix(inner, "]"), host)
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is4() {
		return name, addr, nil
	}
	if err := checkName(name); err != nil {
		return "", netip.Addr{}, err
	}
	return name, netip.Addr{}, nil
}

func parseIPv6(inner, host string) (string, netip.Addr, error) {
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Is4() || addr.Zone() != "" || host != "["+inner+"]" {
		return "", netip.Addr{}, malformed("what is in brackets is not an IPv6 address, or it has a zone")
	}
	addr = addr.Unmap()
	return addr.String(), addr, nil
}

// labelCharacters are the characters of DNS labels, and the underscore, which some host names have.
const labelCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"

func checkName(name string) error {
	if name == "" || len(name) > 253 {
		return malformed("the host has %d characters; 1 to 253 are possible", len(name))
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, labelCharacters) != "" {
			return malformed("the host is not a DNS name (international names are written in punycode)")
		}
	}
	// Resolvers treat a name whose last label is a number (2130706433, 0x7f.1, 0177.0.0.1) as an address. No top-level domain is a number
	// (RFC 3696, section 2).
	if isNumber(labels[len(labels)-1]) {
		return ssrf("%s is an address in an unusual notation", name)
	}
	return nil
}

func isNumber(label string) bool {
	if digits, hex := strings.CutPrefix(label, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
