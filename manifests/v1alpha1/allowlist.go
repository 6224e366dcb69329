package v1alpha1

import (
	"encoding/json"
	"time"
)

// AllowlistField is the path of the hosts that a bottle reaches.
const AllowlistField = specField + ".egress.allowlist"

// AllowedHost is an entry of the allowlist. A manifest, like its JSON form, has a text where there is no Until.
type AllowedHost struct {
	// Host is a host name, an address within privateCIDRs, or a name after a leading "*.", which stands for every subdomain. A port may
	// follow. In a snapshot it is in canonical form.
	Host string `json:"host" jsonschema_description:"A host name, *.NAME for every subdomain, or an address within privateCIDRs. A port may follow."`
	// Until is when the entry ends; zero for never. In a snapshot it is in UTC.
	Until time.Time `json:"until" jsonschema_description:"When the entry ends, as a time with its zone (RFC 3339), like 2026-11-27T18:00:00Z."`
}

// Allow returns entries without an end.
func Allow(hosts ...string) []AllowedHost {
	var entries []AllowedHost
	for _, host := range hosts {
		entries = append(entries, AllowedHost{Host: host})
	}
	return entries
}

// In reports whether the entry is in force at a time. It is until, and not at, its end.
func (a AllowedHost) In(now time.Time) bool { return a.Until.IsZero() || now.Before(a.Until) }

// temporary is an AllowedHost whose JSON form is a mapping.
type temporary AllowedHost

// MarshalJSON writes an entry without an end as a text.
func (a AllowedHost) MarshalJSON() ([]byte, error) {
	if a.Until.IsZero() {
		return json.Marshal(a.Host)
	}
	return json.Marshal(temporary(a))
}

// UnmarshalJSON reads a text or a mapping.
func (a *AllowedHost) UnmarshalJSON(data []byte) error {
	*a = AllowedHost{}
	if err := json.Unmarshal(data, &a.Host); err == nil {
		return nil
	}
	return json.Unmarshal(data, (*temporary)(a))
}

// HostsAt returns the hosts of the allowlist that are in force at a time, in the manifest's order; nil for none.
func (e Egress) HostsAt(now time.Time) []string {
	var hosts []string
	for _, a := range e.Allowlist {
		if a.In(now) {
			hosts = append(hosts, a.Host)
		}
	}
	return hosts
}

// NextEnd returns when the first of the entries in force at a time ends; zero when none will.
func (e Egress) NextEnd(now time.Time) time.Time {
	var next time.Time
	for _, a := range e.Allowlist {
		if !a.Until.IsZero() && a.In(now) && (next.IsZero() || a.Until.Before(next)) {
			next = a.Until
		}
	}
	return next
}
