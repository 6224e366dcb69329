package scalar

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// CheckAllowed validates an entry of the allowlist: a host name, *.NAME, or an address inside privateCIDRs, with
// or without a port.
func CheckAllowed(entry string, private []netip.Prefix) *Fault {
	if f := checkNoMore(entry); f != nil {
		return f
	}
	entry, f := withoutPort(entry)
	if f != nil {
		return f
	}
	if entry == "*" {
		return &Fault{"* would allow every host", "list the hosts, like api.github.com or *.npmjs.org"}
	}
	name, wildcard := strings.CutPrefix(entry, "*.")
	if wildcard && !strings.Contains(strings.Trim(name, "."), ".") && IsHostName(name) {
		return &Fault{Quote(entry) + " would allow a whole top-level domain", "name the domain too, like *.example." + strings.ToLower(name)}
	}
	if strings.Contains(name, "*") {
		return &Fault{Quote(entry) + " has a * that is not the first label", "use * only as *.example.com, which stands for every subdomain"}
	}
	if _, err := netip.ParseAddr(name); wildcard && err == nil {
		return &Fault{"an address has no subdomains", "remove the *."}
	}
	return CheckHost(name, private)
}

// checkNoMore finds anything pasted in addition to the host: a URL, a path, a user.
func checkNoMore(entry string) *Fault {
	if strings.Contains(entry, "://") {
		return &Fault{"it is a URL, not a host name", hostFix(urlHost(entry))}
	}
	if _, err := netip.ParsePrefix(entry); err == nil {
		return &Fault{"it is a range of addresses, not a host name", "list the ranges under privateCIDRs and the host names here"}
	}
	if host, _, found := strings.Cut(entry, "/"); found {
		return &Fault{"it has a path; hosts are allowed as a whole", hostFix(host)}
	}
	if strings.Contains(entry, "@") {
		return &Fault{"it has a user name", hostFix(entry[strings.LastIndex(entry, "@")+1:])}
	}
	return nil
}

// withoutPort takes the port off an entry, if there is a valid one. An IPv6 address has brackets when it has
// a port, and only then.
func withoutPort(entry string) (string, *Fault) {
	if _, err := netip.ParseAddr(entry); err == nil {
		return entry, nil
	}
	if strings.ContainsAny(entry, "[]") {
		addr, err := netip.ParseAddrPort(entry)
		if err != nil || addr.Port() == 0 {
			return "", &Fault{"it has brackets", "write an IPv6 address without brackets, or [ADDRESS]:PORT"}
		}
		return addr.Addr().String(), nil
	}
	host, port, found := strings.Cut(entry, ":")
	if !found || strings.Contains(port, ":") {
		return entry, nil
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || port[0] == '0' {
		return "", &Fault{"its port is not a number from 1 to 65535", hostFix(host) + ", or with a port behind the colon"}
	}
	return host, nil
}

func urlHost(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func hostFix(host string) string {
	if IsHostName(strings.TrimPrefix(host, "*.")) {
		return "write " + Quote(strings.ToLower(host))
	}
	return "write the host name alone, like api.github.com"
}

// CheckHost validates a host name or an address that a bottle may reach.
func CheckHost(host string, private []netip.Prefix) *Fault {
	if addr, err := netip.ParseAddr(host); err == nil {
		return checkAddress(addr, private)
	}
	name := strings.ToLower(host)
	switch {
	case name == "":
		return &Fault{"the host is empty", "write a host name, like api.github.com"}
	case !isASCII(host): // before ToLower, which makes ASCII of a Kelvin sign
		return &Fault{Quote(host) + " is not ASCII", "write an international name in its xn-- form, which can't be mistaken for another"}
	case strings.HasSuffix(name, "."):
		return &Fault{Quote(host) + " ends with a dot", "remove the dot"}
	case len(name) > 253:
		return &Fault{"the host name has more than 253 characters", "write a shorter name"}
	case !IsHostName(name):
		return &Fault{Quote(host) + " is not a host name", "use letters, digits and inner dashes between the dots"}
	case isNumber(name[strings.LastIndex(name, ".")+1:]):
		return &Fault{Quote(host) + " looks like an address but is none", "write a host name, or a complete address"}
	case contract.IsName(name): // bottled allows the agent those that it may reach: a manifest would seem to decide about it
		return &Fault{Quote(host) + " is a part of the bottle itself", "remove it: bottled adds the parts that the agent may reach"}
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return &Fault{Quote(host) + " is the proxy's own loopback", "remove it: inside the agent, localhost is reached without the proxy"}
	}
	return nil
}

func checkAddress(addr netip.Addr, private []netip.Prefix) *Fault {
	if addr.Zone() != "" || addr.Is4In6() {
		return &Fault{"the address has a zone or is IPv4 within IPv6", "write the plain address"}
	}
	for _, prefix := range private {
		if prefix.Contains(addr) {
			return nil
		}
	}
	return &Fault{Quote(addr.String()) + " is an address outside of privateCIDRs", "write the host's name, or add the address's range to spec.egress.privateCIDRs if it is private"}
}

// IsHostName reports whether a text consists of DNS labels.
func IsHostName(text string) bool {
	if text == "" || len(text) > 253 || !hostPattern.Matches(text) {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsAny(label, "*:") {
			return false
		}
	}
	return true
}

// isNumber reports whether a label is one that old resolvers and browsers read as (a part of) an IPv4 address.
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	const decimal, hexadecimal = "0123456789", "0123456789abcdef"
	if hex {
		return strings.Trim(digits, hexadecimal) == ""
	}
	return strings.Trim(label, decimal) == ""
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// SplitAllowed splits a valid entry of the allowlist, or of a rule, into the host or *.NAME and the port; 0 where it has none.
func SplitAllowed(entry string) (host string, port uint16) {
	host, text, err := net.SplitHostPort(entry)
	if err != nil { // also of an IPv6 address, which has brackets only when it has a port
		return entry, 0
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return entry, 0
	}
	return host, uint16(number)
}

// Covers reports whether a host name or address is the one of an entry, or, as pipelock understands it, *.NAME stands for it: every name below
// NAME, and NAME itself. Both are in canonical form.
func Covers(entry, host string) bool {
	below, wildcard := strings.CutPrefix(entry, "*.")
	if _, err := netip.ParseAddr(host); wildcard && err == nil {
		return false
	}
	return host == entry || wildcard && (host == below || strings.HasSuffix(host, "."+below))
}

// CanonicalHost returns the one way to write a valid host, with or without a port.
func CanonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	if addr, err := netip.ParseAddrPort(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(host)
}
