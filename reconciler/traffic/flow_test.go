package traffic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/audit"
)

func TestTraffic(t *testing.T) {
	var table Table
	add := func(kind string, s audit.Statement, at time.Duration) {
		table.Add(kind, &s, start.Add(at))
	}
	add(audit.KindEgress, audit.Statement{Action: "allow", Host: "A.example", Port: 443, Sent: 10, Received: 100}, 0)
	add(audit.KindEgress, audit.Statement{Action: "error", Host: "a.example", Port: 443, Count: 4}, time.Second)
	add(audit.KindEgress, audit.Statement{Action: "deny", Host: "b.example", Port: 80, Code: audit.CodeHostNotAllowed, Count: 7}, 2*time.Second)
	add(audit.KindEgress, audit.Statement{Action: "allow", Host: "cred-proxy", Port: 9099}, 3*time.Second)
	add(audit.KindRequest, audit.Statement{Phase: "begin", Route: "/a/", Host: "api.example"}, 4*time.Second)
	add(audit.KindRequest, audit.Statement{Phase: "end", Route: "/a/", Host: "api.example", Status: "200", Request: 5, Bytes: 50}, 5*time.Second)
	add(audit.KindRequest, audit.Statement{Phase: "end", Route: "/a/", Host: "api.example", Status: "429"}, 6*time.Second)
	add(audit.KindRequest, audit.Statement{Phase: "end", Route: "/a/", Aborted: true}, 7*time.Second)
	add(audit.KindRequest, audit.Statement{Phase: "count", Route: "/b/", Ended: 9, Failed: 3}, 8*time.Second)
	want := reconciler.BottleTraffic{
		Hosts: []reconciler.HostTraffic{
			{Host: "b.example", Port: 80, Denied: 7, Codes: map[string]uint64{audit.CodeHostNotAllowed: 7}, Last: start.Add(2 * time.Second)},
			{Host: "a.example", Port: 443, Allowed: 5, Sent: 10, Received: 100, Last: start.Add(time.Second)},
		},
		Routes: []reconciler.RouteTraffic{
			{Route: "/b/", Requests: 9, Failed: 3, Last: start.Add(8 * time.Second)},
			{Route: "/a/", Upstream: "api.example", Requests: 3, Failed: 2, Sent: 5, Received: 50, Statuses: map[string]uint64{"2xx": 1, "429": 1}, Last: start.Add(7 * time.Second)},
		},
	}
	if diff := cmp.Diff(want, table.Traffic()); diff != "" {
		t.Error(diff)
	}
	for at, n := range map[time.Duration][2]uint64{10 * time.Second: {24, 7}, 59 * time.Second: {24, 7}, 64 * time.Second: {12, 0}, 2 * time.Minute: {0, 0}} {
		requests, denied, rejection := table.Activity(start.Add(at))
		if requests != n[0] || denied != n[1] {
			t.Errorf("after %s: %d requests, %d denied", at, requests, denied)
		}
		if rejection == nil || *rejection != (reconciler.Rejection{Route: "/a/", Upstream: "api.example", Status: "429", Time: start.Add(6 * time.Second)}) {
			t.Errorf("%+v", rejection)
		}
	}
}

// TestTrafficIsBounded: whatever a bottle asks for, and a sidecar claims, the busiest hosts stay, and nothing is lost of the sums.
func TestTrafficIsBounded(t *testing.T) {
	var table Table
	for range 5 {
		table.Add(audit.KindEgress, &audit.Statement{Action: "allow", Host: "busy.example", Port: 443}, start)
	}
	for i := range 1_000 {
		name := audit.Text(fmt.Sprint(i) + strings.Repeat("é", 600))
		table.Add(audit.KindEgress, &audit.Statement{Action: "deny", Host: name, Code: name}, start.Add(time.Second))
		table.Add(audit.KindRequest, &audit.Statement{Phase: "end", Route: name, Status: name}, start)
	}
	got := table.Traffic()
	if len(got.Hosts) != maxHosts+1 || len(got.Routes) != maxRoutes+1 || got.Hosts[0].Host != "busy.example" {
		t.Errorf("%d hosts, %d routes, %+v", len(got.Hosts), len(got.Routes), got.Hosts[0])
	}
	denied := uint64(0)
	for _, h := range got.Hosts {
		if denied += h.Denied; len(h.Host) > maxText+len("…") || len(h.Codes) > 1 {
			t.Errorf("%+v", h)
		}
	}
	if last := got.Hosts[maxHosts]; denied != 1_000 || last.Host != "other" || last.Denied != 1_000-maxHosts+1 || got.Routes[maxRoutes].Requests != 1_000-maxRoutes {
		t.Errorf("%d denied, %+v, %+v", denied, last, got.Routes[maxRoutes])
	}
	table.Add(audit.KindEgress, &audit.Statement{Action: "allow", Host: "busy.example", Port: 443, Count: ^uint64(0), Sent: ^uint64(0)}, start)
	if h := table.Traffic().Hosts[0]; h.Allowed != ^uint64(0) {
		t.Errorf("%+v", h)
	}
	if requests, _, _ := table.Activity(start); requests != ^uint64(0) {
		t.Errorf("the count overflowed to %d", requests)
	}
}
