package pipelock

import (
	"fmt"
	"net/netip"
	"strings"
)

// allowlist is api_allowlist. It means what it means in the official program: a name matches itself;
// "*.example.com" matches example.com and every name below it; an address matches itself only. Case and
// a trailing dot make no difference.
type allowlist struct {
	exact    map[string]bool
	suffixes []string // ".example.com"
}

func newAllowlist(entries []string) (allowlist, error) {
	list := allowlist{exact: map[string]bool{}}
	if len(entries) == 0 {
		return list, fmt.Errorf("api_allowlist: strict mode needs at least one entry")
	}
	for _, entry := range entries {
		base, wildcard := strings.CutPrefix(entry, "*.")
		name, addr, err := parseEntry(base)
		switch {
		case err != nil:
			return list, fmt.Errorf("api_allowlist: %q matches nothing: %w", entry, err)
		case wildcard && addr.IsValid():
			return list, fmt.Errorf("api_allowlist: %q matches nothing: a wildcard can't stand before an address", entry)
		case wildcard:
			list.suffixes = append(list.suffixes, "."+name)
		}
		list.exact[name] = true
	}
	return list, nil
}

// parseEntry reads a host without a wildcard. An IPv6 address has no brackets here, as in the
// official program.
func parseEntry(host string) (string, netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return addr.String(), addr, nil
	}
	return parseHost(host)
}

func (l allowlist) allows(t target) bool {
	if l.exact[t.host] {
		return true
	}
	if t.addr.IsValid() {
		return false
	}
	for _, suffix := range l.suffixes {
		if strings.HasSuffix(t.host, suffix) {
			return true
		}
	}
	return false
}
