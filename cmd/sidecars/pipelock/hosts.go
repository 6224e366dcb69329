package pipelock

import (
	"cmp"
	"net/url"
)

// Hosts is an allowlist for programs that ask which URLs it opens, by the same code as pipelock.
type Hosts struct{ list allowlist }

// NewHosts parses the entries of an allowlist. Without entries it opens nothing.
func NewHosts(entries []string) (Hosts, error) {
	if len(entries) == 0 {
		return Hosts{}, nil
	}
	list, err := newAllowlist(entries)
	return Hosts{list}, err
}

// Opens reports whether pipelock lets a client go to an http or https URL, as far as its host and port decide about it.
func (h Hosts) Opens(u *url.URL) bool {
	port, tunnel := "80", u.Scheme == "https"
	if tunnel {
		port = "443"
	}
	name, _, hasPort := cutPort(u.Host)
	if !hasPort {
		name = u.Host
	}
	t, err := newTarget(name, cmp.Or(u.Port(), port))
	if err != nil || u.Scheme != "http" && !tunnel {
		return false
	}
	_, open := h.list.allows(t, tunnel)
	return open
}
