// Package traffic summarizes what a bottle's sidecars report about its requests. A sidecar that was taken over may report anything, and
// an agent chooses the hosts it asks for, so every table is bounded.
package traffic

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/audit"
)

const (
	maxTargets = 200 // refused hosts, with their codes, of one bottle
	topTargets = 10  // of them in a summary
	maxRoutes  = 64  // of one bottle
	maxText    = 253 // bytes of a host or route: the longest name in DNS
	// rejectedAfter is the number of rejected requests in a row from which a route's credential counts as rejected.
	rejectedAfter = 3
)

// Table counts the requests of one bottle. It is not safe for concurrent use.
type Table struct {
	denied, dlp, rejected uint64
	targets               map[target]*refusals
	routes                map[string]*route
	flow                  flow
}

// target is what requests were refused for.
type target struct{ host, code string }

type refusals struct {
	count uint64
	last  time.Time
}

// route is a route whose credential is not accepted.
type route struct {
	host    string // of the upstream
	inARow  uint64 // rejected requests since the last accepted one
	status  string // of the last rejected one
	problem string // why the token can't be sent; "" when it can
}

// codes are the codes of denied egress.
var codes = []string{
	audit.CodeHostNotAllowed, audit.CodePortNotAllowed, audit.CodeAddressBlocked, audit.CodeDLP, audit.CodeServerName, audit.CodeMalformed,
	audit.CodeRevoked, audit.CodeOverload,
}

// Code returns a statement's code, or "other" for one that bottled's sidecars don't use.
func Code(s *audit.Statement) string {
	if code := string(s.Code); slices.Contains(codes, code) {
		return code
	}
	return "other"
}

// Counted is what a statement stands for.
type Counted struct {
	Denied, Rejected uint64 // requests: by pipelock; because of their credential
	Changed          bool   // the summary is another one
}

// Add counts a statement.
func (t *Table) Add(kind string, s *audit.Statement, now time.Time) (n Counted) {
	t.flow.add(kind, s, now)
	switch {
	case kind == audit.KindEgress && s.Action == "deny":
		n.Denied = max(1, s.Count)
		t.deny(s, n.Denied, now)
	case kind == audit.KindRequest:
		n.Rejected, n.Changed = t.request(s)
		t.rejected = add(t.rejected, n.Rejected)
	case kind == audit.KindCredential:
		if n.Changed = t.drop(s); s.Action == "missing" {
			t.setProblem(s)
			n.Changed = true
		}
	}
	n.Changed = n.Changed || n.Denied+n.Rejected > 0
	return n
}

// deny counts n denied requests.
func (t *Table) deny(s *audit.Statement, n uint64, now time.Time) {
	t.denied = add(t.denied, n)
	if s.Code == audit.CodeDLP {
		t.dlp = add(t.dlp, n)
	}
	if s.Host == "" {
		return
	}
	key := target{strings.ToLower(limit(s.Host)), Code(s)}
	r := t.targets[key]
	if r == nil {
		if t.targets == nil {
			t.targets = map[target]*refusals{}
		}
		if len(t.targets) >= maxTargets {
			t.dropRarest()
		}
		r = &refusals{}
		t.targets[key] = r
	}
	r.count, r.last = add(r.count, n), now
}

// dropRarest forgets the target that was refused least often, the longest time ago.
func (t *Table) dropRarest() {
	delete(t.targets, slices.MinFunc(slices.Collect(maps.Keys(t.targets)), t.compare))
}

// compare orders targets by how often, then by when last they were refused.
func (t *Table) compare(a, b target) int {
	x, y := t.targets[a], t.targets[b]
	return cmp.Or(cmp.Compare(x.count, y.count), x.last.Compare(y.last), cmp.Compare(a.host, b.host), cmp.Compare(a.code, b.code))
}

// request counts what a request, or a count of requests, says about the credential of its route.
func (t *Table) request(s *audit.Statement) (rejected uint64, cleared bool) {
	switch {
	case s.Code == audit.CodeCredentialUnusable:
		t.setProblem(s)
		return max(1, s.Rejected), false
	case s.Code == audit.CodeCredentialRejected:
		rejected = max(1, s.Rejected)
	case s.Phase == "count" && s.Ended > s.Failed, s.Phase == "end" && accepted(s):
		return s.Rejected, t.drop(s)
	default:
		rejected = s.Rejected
	}
	if rejected > 0 {
		if r := t.route(s); r != nil {
			r.inARow, r.status = add(r.inARow, rejected), limit(s.Status)
		}
	}
	return rejected, false
}

// accepted reports whether the upstream took the credential, whatever it thought of the request.
func accepted(s *audit.Statement) bool {
	status, err := strconv.Atoi(string(s.Status))
	return err == nil && !s.Refused && !s.Aborted && s.Error == "" && status >= 200 && status < 500
}

func (t *Table) setProblem(s *audit.Statement) {
	if r := t.route(s); r != nil {
		r.problem = cmp.Or(limit(s.Reason), "its token can't be sent")
	}
}

// route returns the entry of a statement's route; nil when there is no room.
func (t *Table) route(s *audit.Statement) *route {
	path := limit(s.Route)
	r := t.routes[path]
	if r == nil && path != "" && len(t.routes) < maxRoutes {
		if t.routes == nil {
			t.routes = map[string]*route{}
		}
		r = &route{}
		t.routes[path] = r
	}
	if r != nil && s.Host != "" {
		r.host = limit(s.Host)
	}
	return r
}

// drop forgets what was wrong with the credential of a route, which was accepted or is another one now. It returns false when nothing was.
func (t *Table) drop(s *audit.Statement) bool {
	path := limit(s.Route)
	_, known := t.routes[path]
	delete(t.routes, path)
	return known
}

// ForgetRoutes forgets what was wrong with all credentials: the bottle is declared otherwise.
func (t *Table) ForgetRoutes() { t.routes = nil }

// Summary returns what was counted; nil when that is nothing.
func (t *Table) Summary() *reconciler.Traffic {
	if t.denied == 0 && t.rejected == 0 && len(t.routes) == 0 {
		return nil
	}
	s := &reconciler.Traffic{Denied: t.denied, DLPBlocks: t.dlp, CredentialRejections: t.rejected}
	targets := slices.SortedFunc(maps.Keys(t.targets), func(a, b target) int { return t.compare(b, a) })
	for _, key := range targets[:min(topTargets, len(targets))] {
		r := t.targets[key]
		s.DeniedHosts = append(s.DeniedHosts, reconciler.DeniedHost{Host: key.host, Code: key.code, Count: r.count, Last: r.last})
	}
	for _, path := range slices.Sorted(maps.Keys(t.routes)) {
		if problem := t.routes[path].describe(); problem != "" {
			s.RejectedCredentials = append(s.RejectedCredentials, reconciler.RejectedCredential{Route: path, Upstream: t.routes[path].host, Problem: problem})
		}
	}
	return s
}

// describe returns why a route's credential counts as rejected; "" when it does not yet.
func (r *route) describe() string {
	switch {
	case r.problem != "":
		return r.problem
	case r.inARow >= rejectedAfter && r.status != "":
		return fmt.Sprintf("the upstream answered %s to the last %d requests", r.status, r.inARow)
	case r.inARow >= rejectedAfter:
		return fmt.Sprintf("the upstream rejected the last %d requests", r.inARow)
	}
	return ""
}

// limit shortens a text that a sidecar wrote.
func limit(t audit.Text) string {
	if len(t) > maxText {
		return strings.ToValidUTF8(string(t[:maxText]), "") + "…"
	}
	return string(t)
}

// add adds without overflow, since a sidecar may claim any number.
func add(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}
