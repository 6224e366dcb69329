package approve

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/queue"
)

// host is what the agent was refused.
type host struct {
	name   string // canonical
	port   uint16
	tunnel bool // it is asked for by CONNECT
}

// parseHost reads the payload of a pipelock-block, which may be anything.
func parseHost(payload string) (host, error) {
	u, err := url.Parse(strings.TrimSpace(payload))
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return host{}, errors.New("what is asked for is no https:// or http:// URL")
	}
	h := host{name: scalar.CanonicalHost(u.Hostname()), port: 80, tunnel: u.Scheme == "https"}
	if h.tunnel {
		h.port = 443
	}
	if text := u.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return host{}, errors.New("the port of the URL is not a number from 1 to 65535")
		}
		h.port = uint16(port)
	}
	return h, nil
}

// String returns the host with its port: the entry of the allowlist that opens it and nothing else. Without a port, an entry would open all
// ports of plain HTTP.
func (h host) String() string { return net.JoinHostPort(h.name, strconv.Itoa(int(h.port))) }

// entry is the entry of the allowlist that opens the host: with its port, unless pipelock is of another image, which knows no ports.
func (h host) entry(ports bool) string {
	if !ports && (h.port == 443 || h.port == 80) {
		return h.name
	}
	return h.String()
}

// allowedBy reports whether an entry of the allowlist opens the host, as pipelock understands it: without a port, an entry opens port 443 of
// tunnels and all ports of plain HTTP.
func (h host) allowedBy(entry string) bool {
	name, port := scalar.SplitAllowed(entry)
	return scalar.Covers(name, h.name) && (port == h.port || port == 0 && (!h.tunnel || h.port == 443))
}

// isAllowed reports whether a bottle's allowlist opens the host from now on until a time at least; the zero time is for good.
func (h host) isAllowed(b v1alpha1.Bottle, until time.Time) bool {
	end, allowed := h.allowedUntil(b)
	return allowed && (end.IsZero() || !until.IsZero() && !end.Before(until))
}

// allowedUntil returns until when a bottle's allowlist, which opens the host now, does so: the zero time is for good.
func (h host) allowedUntil(b v1alpha1.Bottle) (end time.Time, allowed bool) {
	now := time.Now()
	for _, a := range b.Spec.Egress.Allowlist {
		if !a.In(now) || !h.allowedBy(a.Host) {
			continue
		}
		if a.Until.IsZero() {
			return time.Time{}, true
		}
		if allowed = true; a.Until.After(end) {
			end = a.Until
		}
	}
	return end, allowed
}

// hostWish adds the host of a pipelock-block to the allowlist. ports is whether its entries may have ports.
func hostWish(p queue.Proposal, b v1alpha1.Bottle, until time.Time, ports bool) (wish, error) {
	w := wish{file: b.Source.Path}
	h, err := parseHost(p.Payload)
	if err != nil {
		return w, blockedBy("%w", err)
	}
	if f := scalar.CheckAllowed(h.String(), privateRanges(b)); f != nil {
		return w, blockedBy("%s; %s", f.Reason, f.Fix)
	}
	if !until.IsZero() {
		w.notes = "allowed until " + until.Format(time.RFC3339)
	}
	if h.isAllowed(b, until) {
		w.warnings = append(w.warnings, h.String()+" is allowed already: nothing has to be changed")
		w.notes = ""
		return w, nil
	}
	if _, err := netip.ParseAddr(h.name); err == nil {
		w.warnings = append(w.warnings, h.name+" is an address, not a name")
	}
	if end, allowed := h.allowedUntil(b); allowed {
		w.warnings = append(w.warnings, h.String()+" is allowed already, until "+end.Format(time.RFC3339))
	}
	w.changes = []edit.Change{allow(b.Spec.Egress.Allowlist, v1alpha1.AllowedHost{Host: h.entry(ports), Until: until})}
	return w, nil
}

// allow adds an entry to the allowlist, in place of one for the same host with another end.
func allow(list []v1alpha1.AllowedHost, entry v1alpha1.AllowedHost) edit.Change {
	at := slices.IndexFunc(list, func(a v1alpha1.AllowedHost) bool { return a.Host == entry.Host })
	if at < 0 {
		return edit.Append(v1alpha1.AllowlistField, entry)
	}
	return edit.Set(parse.ElementOf(v1alpha1.AllowlistField, at), entry)
}

// privateRanges are the ranges of private addresses that a manifest opens. They were checked when it was read.
func privateRanges(b v1alpha1.Bottle) []netip.Prefix {
	var ranges []netip.Prefix
	for _, cidr := range b.Spec.Egress.PrivateCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			ranges = append(ranges, p)
		}
	}
	return ranges
}
