package traffic

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/audit"
)

const (
	maxHosts  = 200 // with their ports, of one bottle
	otherName = "other"
	// The requests of the last minute are counted in slots.
	slots    = 12
	slotTime = time.Minute / slots
)

// flow counts what a bottle's sidecars let through and refused, by host and by route.
type flow struct {
	hosts  map[hostPort]*reconciler.HostTraffic
	routes map[string]*reconciler.RouteTraffic
	// What had no room.
	otherHosts  reconciler.HostTraffic
	otherRoutes reconciler.RouteTraffic
	recent      [slots]slot
	rejection   *reconciler.Rejection
}

type hostPort struct {
	host string
	port uint16
}

// slot is a part of the last minute.
type slot struct {
	start            time.Time
	requests, denied uint64
}

// add counts a statement.
func (f *flow) add(kind string, s *audit.Statement, now time.Time) {
	switch kind {
	case audit.KindEgress:
		if s.Host != contract.CredProxyName { // which says itself what becomes of its requests
			f.addEgress(s, now)
		}
	case audit.KindRequest:
		f.addRequest(s, now)
	}
}

func (f *flow) addEgress(s *audit.Statement, now time.Time) {
	n := max(1, s.Count)
	h := f.host(hostPort{strings.ToLower(limit(s.Host)), s.Port})
	denied := uint64(0)
	if s.Action == "deny" {
		denied = n
		addTo(&h.Codes, Code(s), n)
		h.Denied = add(h.Denied, n)
	} else {
		h.Allowed = add(h.Allowed, n)
	}
	h.Sent, h.Received, h.Last = add(h.Sent, s.Sent), add(h.Received, s.Received), now
	f.count(n, denied, now)
}

func (f *flow) addRequest(s *audit.Statement, now time.Time) {
	var n, failed uint64
	switch s.Phase {
	case "end":
		n = 1
		if s.Refused || s.Aborted || s.Error != "" || s.Status >= "400" {
			failed = 1
		}
	case "count":
		n, failed = max(s.Ended, s.Count), s.Failed
	default: // its end tells
		return
	}
	r := f.route(limit(s.Route))
	if s.Host != "" {
		r.Upstream = limit(s.Host)
	}
	r.Requests, r.Failed = add(r.Requests, n), add(r.Failed, failed)
	r.Sent, r.Received, r.Last = add(r.Sent, s.Request), add(r.Received, s.Bytes), now
	if class := statusClass(string(s.Status)); class != "" {
		addTo(&r.Statuses, class, n)
		if class[1:] != "xx" {
			f.rejection = &reconciler.Rejection{Route: r.Route, Upstream: r.Upstream, Status: class, Time: now}
		}
	}
	f.count(n, 0, now)
}

// statusClass is the class of a status, "2xx", or one of those that need somebody; "" for what is no status.
func statusClass(status string) string {
	switch {
	case status == "401", status == "403", status == "429":
		return status
	case len(status) == 3 && status[0] >= '1' && status[0] <= '5':
		return status[:1] + "xx"
	}
	return ""
}

// host returns the entry of a host. Where there is no room, the one with the fewest requests gives way.
func (f *flow) host(key hostPort) *reconciler.HostTraffic {
	if h := f.hosts[key]; h != nil {
		return h
	}
	if f.hosts == nil {
		f.hosts = map[hostPort]*reconciler.HostTraffic{}
	}
	if len(f.hosts) >= maxHosts {
		rarest := slices.MinFunc(slices.Collect(maps.Keys(f.hosts)), func(a, b hostPort) int { return compareHosts(*f.hosts[b], *f.hosts[a]) })
		mergeHosts(&f.otherHosts, f.hosts[rarest])
		delete(f.hosts, rarest)
	}
	h := &reconciler.HostTraffic{Host: key.host, Port: key.port}
	f.hosts[key] = h
	return h
}

// mergeHosts adds the counts of a host to those of the others.
func mergeHosts(into, from *reconciler.HostTraffic) {
	into.Allowed, into.Denied = add(into.Allowed, from.Allowed), add(into.Denied, from.Denied)
	into.Sent, into.Received = add(into.Sent, from.Sent), add(into.Received, from.Received)
	for code, n := range from.Codes {
		addTo(&into.Codes, code, n)
	}
	if from.Last.After(into.Last) {
		into.Last = from.Last
	}
}

// route returns the entry of a route, or that of the others where there is no room: a manifest has fewer.
func (f *flow) route(path string) *reconciler.RouteTraffic {
	if r := f.routes[path]; r != nil {
		return r
	}
	if f.routes == nil {
		f.routes = map[string]*reconciler.RouteTraffic{}
	}
	if len(f.routes) >= maxRoutes {
		return &f.otherRoutes
	}
	r := &reconciler.RouteTraffic{Route: path}
	f.routes[path] = r
	return r
}

// addTo adds to a count of a map that may be nil.
func addTo(counts *map[string]uint64, name string, n uint64) {
	if *counts == nil {
		*counts = map[string]uint64{}
	}
	(*counts)[name] = add((*counts)[name], n)
}

// count counts requests of the last minute.
func (f *flow) count(requests, denied uint64, now time.Time) {
	start := now.Truncate(slotTime)
	s := &f.recent[int(start.Unix()/int64(slotTime/time.Second))%slots]
	if !s.start.Equal(start) {
		*s = slot{start: start}
	}
	s.requests, s.denied = add(s.requests, requests), add(s.denied, denied)
}

// Activity returns the requests of the last minute, how many of them were denied, and the last rejection by an upstream; nil for none.
func (t *Table) Activity(now time.Time) (requests, denied uint64, rejection *reconciler.Rejection) {
	for _, s := range t.flow.recent {
		if age := now.Sub(s.start); age >= 0 && age < time.Minute {
			requests, denied = add(requests, s.requests), add(denied, s.denied)
		}
	}
	return requests, denied, t.flow.rejection
}

// Traffic returns what was counted by host and by route, the busiest first; what had no room comes last, as "other".
func (t *Table) Traffic() reconciler.BottleTraffic {
	out := reconciler.BottleTraffic{Hosts: []reconciler.HostTraffic{}, Routes: []reconciler.RouteTraffic{}}
	for _, h := range t.flow.hosts {
		copied := *h
		copied.Codes = maps.Clone(h.Codes)
		out.Hosts = append(out.Hosts, copied)
	}
	slices.SortFunc(out.Hosts, compareHosts)
	if other := t.flow.otherHosts; other.Allowed+other.Denied > 0 {
		other.Host, other.Codes = otherName, maps.Clone(other.Codes)
		out.Hosts = append(out.Hosts, other)
	}
	for _, r := range t.flow.routes {
		copied := *r
		copied.Statuses = maps.Clone(r.Statuses)
		out.Routes = append(out.Routes, copied)
	}
	slices.SortFunc(out.Routes, func(a, b reconciler.RouteTraffic) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Route, b.Route))
	})
	if other := t.flow.otherRoutes; other.Requests > 0 {
		other.Route, other.Upstream, other.Statuses = otherName, "", maps.Clone(other.Statuses)
		out.Routes = append(out.Routes, other)
	}
	return out
}

// compareHosts orders hosts by their requests, the busiest first.
func compareHosts(a, b reconciler.HostTraffic) int {
	return cmp.Or(cmp.Compare(add(b.Allowed, b.Denied), add(a.Allowed, a.Denied)), b.Last.Compare(a.Last), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
}
