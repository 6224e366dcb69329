package pipelock

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	httpPort  = 80
	httpsPort = 443
)

// allowlist is api_allowlist. Hosts match as in the official program: a name matches itself; "*.example.com" matches example.com and every
// name below it; an address matches itself. Case and a trailing dot are ignored. Unlike there, an entry can end in a port.
type allowlist struct {
	exact map[string]*ports
	below map[string]*ports // wildcards, by the name without "*."
}

// ports are the ports that the entries of a host allow.
type ports struct {
	usual  bool // an entry has no port: 443 for tunnels, any for plain HTTP
	listed []uint16
}

func (p *ports) open(port uint16, tunnel bool) bool {
	return p.usual && (port == httpsPort || !tunnel) || slices.Contains(p.listed, port)
}

func newAllowlist(entries []string) (allowlist, error) {
	list := allowlist{exact: map[string]*ports{}, below: map[string]*ports{}}
	if len(entries) == 0 {
		return list, fmt.Errorf("api_allowlist: strict mode needs at least one entry")
	}
	for _, entry := range entries {
		base, wildcard := strings.CutPrefix(entry, "*.")
		t, err := parseEntry(base)
		switch {
		case err != nil:
			return list, fmt.Errorf("api_allowlist: %q matches nothing: %w", entry, err)
		case wildcard && t.addr.IsValid():
			return list, fmt.Errorf("api_allowlist: %q matches nothing: a wildcard can't stand before an address", entry)
		case wildcard:
			add(list.below, t)
		}
		add(list.exact, t)
	}
	return list, nil
}

func add(list map[string]*ports, t target) {
	if list[t.host] == nil {
		list[t.host] = &ports{}
	}
	if t.port == 0 {
		list[t.host].usual = true
		return
	}
	list[t.host].listed = append(list[t.host].listed, t.port)
}

// parseEntry parses an entry without a wildcard. The port is 0 if there is none. An IPv6 address has brackets only if a port follows, as in
// the official program.
func parseEntry(entry string) (target, error) {
	if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return target{host: addr.String(), addr: addr}, nil
	}
	if host, port, ok := cutPort(entry); ok {
		return newTarget(host, port)
	}
	name, addr, err := parseHost(entry)
	return target{host: name, addr: addr}, err
}

// allows reports whether the host is on the list, and whether its port is.
func (l allowlist) allows(t target, tunnel bool) (known, open bool) {
	check := func(p *ports) {
		if p != nil {
			known, open = true, open || p.open(t.port, tunnel)
		}
	}
	check(l.exact[t.host])
	for name, more := t.host, !t.addr.IsValid(); more; {
		if _, name, more = strings.Cut(name, "."); more {
			check(l.below[name])
		}
	}
	return known, open
}

// Allows reports whether a list of entries, each valid, lets requests for a URL through: an https URL in a tunnel, an http URL without one.
func Allows(entries []string, u *url.URL) bool {
	tunnel := u.Scheme == "https"
	port := u.Port()
	switch {
	case port != "":
	case tunnel:
		port = strconv.Itoa(httpsPort)
	default:
		port = strconv.Itoa(httpPort)
	}
	list, err := newAllowlist(entries)
	if err != nil {
		return false // an empty one
	}
	t, err := newTarget(strings.TrimSuffix(u.Host, ":"+u.Port()), port) // with an address's brackets
	if err != nil {
		return false
	}
	_, open := list.allows(t, tunnel)
	return open
}

// underWildcard returns the labels of a host below the wildcard that allows it. ok is false if the host itself is on the list.
func (l allowlist) underWildcard(t target) (labels string, ok bool) {
	if t.addr.IsValid() || l.exact[t.host] != nil {
		return "", false
	}
	for i, c := range t.host {
		if c == '.' && l.below[t.host[i+1:]] != nil {
			return t.host[:i], true
		}
	}
	return "", false
}
