package screen

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// trafficLines are what was refused, then what went where; one line is selected.
func (b *bottle) trafficLines(now time.Time, cells, height int) []line {
	lines, hosts := b.trafficRows(now, cells)
	w := &b.pages[trafficTab]
	w.at = max(0, min(w.at, len(hosts)-1))
	selected, n := 0, 0
	for i := range lines {
		if !isRow(lines[i]) {
			continue
		}
		if n == w.at {
			selected = i
			lines[i].selected = true
			lines[i].spans[0].text = marker(true)
		}
		n++
	}
	shown := window{at: selected, top: w.top}
	if w.at == 0 {
		shown.top = 0 // with the title above
	}
	shown.follow(len(lines), height)
	w.top = shown.top
	return lines[w.top:min(len(lines), w.top+max(height, 0))]
}

// trafficRows are the lines. hosts are, for each that can be selected, the host that would have to be allowed; "" where that does not help.
func (b *bottle) trafficRows(now time.Time, cells int) (lines []line, hosts []string) {
	names := max(20, min(48, cells-72))
	add := func(host string, all ...span) {
		lines = append(lines, spans(append([]span{{marker(false), plain}}, all...)...))
		hosts = append(hosts, host)
	}
	if d := b.description; d != nil && len(d.Denied) > 0 {
		lines = append(lines, text(strong, "refused, and not allowed now"))
		for _, o := range d.Denied {
			host := o.Entry
			if _, _, err := net.SplitHostPort(host); err != nil && host != "" && o.Port != 0 {
				host = net.JoinHostPort(host, strconv.Itoa(int(o.Port)))
			}
			add(host, span{right(report.Count(o.Count, "time"), 11) + "  " + right(report.Age(o.Last, now), 4) + " ago  ", warning}, span{fit(host, names) + "  ", strong}, span{"| " + report.Short(report.Flat(o.Reason)), dim})
		}
		lines = append(lines, line{})
	}
	lines = append(lines, text(strong, "hosts, since the controller started"), text(dim, fmt.Sprintf("  %s  %8s  %8s  %9s  %9s  %5s  %s", fit("HOST", names), "ALLOWED", "DENIED", "SENT", "RECEIVED", "LAST", "DENIED FOR")))
	if len(b.traffic.Hosts) == 0 {
		lines = append(lines, text(dim, unmeasured))
	}
	for _, h := range b.traffic.Hosts {
		host, allow, look := h.Host, "", plain
		if h.Port != 0 {
			host = net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
		}
		if h.Denied > 0 {
			look = warning
		}
		if b.description != nil {
			allow = overview.Entry(h, b.description.Spec, now)
		}
		add(allow, span{fit(host, names), look}, span{fmt.Sprintf("  %8d  %8d  %9s  %9s  %5s  ", h.Allowed, h.Denied, size(int64(h.Sent)), size(int64(h.Received)), report.Age(h.Last, now)), look}, span{list(h.Codes), dim}) //nolint:gosec // less than an exabyte
	}
	return append(lines, b.routeLines(now, names)...), hosts
}

// isRow reports whether a line can be selected: it has room for the marker.
func isRow(l line) bool { return len(l.spans) > 1 && l.spans[0].text == marker(false) }

func (b *bottle) routeLines(now time.Time, names int) []line {
	if len(b.traffic.Routes) == 0 {
		return nil
	}
	all := []line{{}, text(strong, "routes of cred-proxy, since the controller started"), text(dim, fmt.Sprintf("  %s  %8s  %8s  %9s  %9s  %5s  %s", fit("ROUTE TO UPSTREAM", names), "REQUESTS", "FAILED", "SENT", "RECEIVED", "LAST", "ANSWERS"))}
	for _, r := range b.traffic.Routes {
		all = append(all, text(routeLook(r), fmt.Sprintf("  %s  %8d  %8d  %9s  %9s  %5s  %s", fit(r.Route+" "+r.Upstream, names), r.Requests, r.Failed, size(int64(r.Sent)), size(int64(r.Received)), report.Age(r.Last, now), list(r.Statuses)))) //nolint:gosec // less than an exabyte
	}
	return all
}

func routeLook(r reconciler.RouteTraffic) look {
	if r.Failed > 0 {
		return warning
	}
	return plain
}

// list is a count for each of some words.
func list(n map[string]uint64) string {
	var all []string
	for _, word := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%s %d", word, n[word]))
	}
	return strings.Join(all, ", ")
}
