package rules

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// privateRanges are the ranges that private networks are made of (RFC 1918, RFC 6598, RFC 4193).
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"),
}

// metadataServices are private addresses at which clouds hand out credentials to every client.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("fd00:ec2::254"),
}

// validateEgress returns the private ranges, which the rules of routes need, too.
func validateEgress(d *parse.Document) []netip.Prefix {
	egress := d.Bottle.Spec.Egress
	private := validateCIDRs(d, egress.PrivateCIDRs)
	for i, entry := range egress.Allowlist {
		field, given := hostField(d, i)
		if !given {
			continue
		}
		if f := scalar.CheckAllowed(entry.Host, private); f != nil {
			d.Report(field, f.Reason, f.Fix)
		} else {
			warnPort(d, field, entry.Host)
		}
	}
	warnDoubleHosts(d)
	validateDLPAction(d, egress.DLPAction)
	validateDLPExceptions(d, private)
	return private
}

// hostField returns where an entry of the allowlist has its host, and whether that is given.
func hostField(d *parse.Document, index int) (field string, given bool) {
	entry := parse.ElementOf(v1alpha1.AllowlistField, index)
	if host := entry + ".host"; d.Has(host) {
		return host, d.Given(host)
	}
	return entry, d.Given(entry) && !d.Has(entry+".until")
}

// warnDoubleHosts warns of an end that has no effect, since the same host is also allowed without one.
func warnDoubleHosts(d *parse.Document) {
	permanent := map[string]int{}
	for i, entry := range d.Bottle.Spec.Egress.Allowlist {
		if _, given := hostField(d, i); given && entry.Until.IsZero() {
			permanent[scalar.CanonicalHost(entry.Host)] = d.Position(parse.ElementOf(v1alpha1.AllowlistField, i)).Line
		}
	}
	for i, entry := range d.Bottle.Spec.Egress.Allowlist {
		if line := permanent[scalar.CanonicalHost(entry.Host)]; line > 0 && !entry.Until.IsZero() {
			d.Warn(parse.ElementOf(v1alpha1.AllowlistField, i)+".until",
				fmt.Sprintf("it has no effect: line %d allows %s without an end", line, scalar.Quote(entry.Host)), "remove one of the two")
		}
	}
}

// portProtocols are ports whose usual protocols don't pass pipelock: what goes through its tunnels must be TLS with a server's name.
var portProtocols = map[string]string{
	"21": "FTP", "22": "SSH", "25": "SMTP", "587": "SMTP", "3306": "MySQL", "5432": "PostgreSQL", "6379": "Redis", "9092": "Kafka", "27017": "MongoDB",
}

func warnPort(d *parse.Document, field, entry string) {
	port := entry[strings.LastIndexByte(entry, ':')+1:]
	protocol := portProtocols[port]
	if protocol == "" || !strings.Contains(entry, ":") || strings.Count(entry, ":") > 1 && !strings.Contains(entry, "]:") {
		return
	}
	fix := "run it inside the agent's image"
	switch port {
	case "22":
		fix = "use git over https://, with a route of spec.credProxy for its token"
	case "21", "25", "587":
		fix = "use a service with an HTTP API"
	}
	d.Warn(field, fmt.Sprintf("only HTTP and TLS pass pipelock, and port %s is usually %s", port, protocol), fix)
}

var dlpActions = []string{string(v1alpha1.DLPBlock), string(v1alpha1.DLPWarn)}

func validateDLPAction(d *parse.Document, action v1alpha1.DLPAction) {
	const field = "spec.egress.dlpAction"
	if d.Given(field) && action != v1alpha1.DLPBlock && action != v1alpha1.DLPWarn {
		d.Report(field, scalar.Quote(string(action))+" is no action", scalar.SuggestOneOf(string(action), dlpActions))
	}
}

// validateCIDRs judges the private ranges and returns those that are ranges at all, so that a fault in one
// is not reported again for the hosts in it.
func validateCIDRs(d *parse.Document, cidrs []string) []netip.Prefix {
	var ranges []netip.Prefix
	for i, text := range cidrs {
		field := parse.ElementOf("spec.egress.privateCIDRs", i)
		if !d.Given(field) {
			continue
		}
		prefix, f := checkCIDR(text)
		if f != nil {
			d.Report(field, f.Reason, f.Fix)
		}
		if prefix.IsValid() {
			ranges = append(ranges, prefix)
		}
	}
	return ranges
}

func checkCIDR(text string) (netip.Prefix, *scalar.Fault) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !cidrPattern.Matches(text) {
		return netip.Prefix{}, notCIDR(text)
	}
	if f := checkPrivate(prefix); f != nil {
		return prefix, f
	}
	if canonical := prefix.Masked().String(); canonical != text {
		return prefix, scalar.NewFault(scalar.Quote(text)+" has bits set behind its prefix, or is not written in the usual way", "write "+scalar.Quote(canonical))
	}
	return prefix, nil
}

func notCIDR(text string) *scalar.Fault {
	fix := "write ADDRESS/BITS, like 192.168.7.0/24"
	if addr, err := netip.ParseAddr(text); err == nil {
		fix = fmt.Sprintf("write \"%s/%d\" for this one address", addr, addr.BitLen())
	}
	return scalar.NewFault(scalar.Quote(text)+" is not a range of addresses", fix)
}

// checkPrivate refuses ranges that would open more than somebody's private network.
func checkPrivate(prefix netip.Prefix) *scalar.Fault {
	addr := prefix.Masked().Addr()
	switch {
	case prefix.Bits() == 0:
		return scalar.NewFault("it is every address there is", "write the private ranges that the upstreams are in")
	case addr.IsLoopback():
		return scalar.NewFault("loopback addresses are the proxy itself", "remove it; a service of the host is reached at an address of the host")
	case addr.IsLinkLocalUnicast():
		return scalar.NewFault("link-local addresses include the metadata services of clouds", "remove it")
	case !isPrivate(prefix):
		return scalar.NewFault("it is not within a private range", "use ranges within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public hosts need no entry here")
	}
	for _, service := range metadataServices {
		if prefix.Contains(service) {
			return scalar.NewFault("it includes the metadata service "+service.String(), "write a narrower range")
		}
	}
	return nil
}

func isPrivate(prefix netip.Prefix) bool {
	for _, private := range privateRanges {
		if prefix.Bits() >= private.Bits() && private.Contains(prefix.Addr()) {
			return true
		}
	}
	return false
}
