package service

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/audit"
)

// Observed is something that an agent asked for and did not get.
type Observed struct {
	// Entry is what would allow it in spec.egress.allowlist; "" where nothing there would.
	Entry string `json:"entry,omitempty"`
	// Exception is what would let it pass in spec.egress.dlpExceptions, if what was found is no secret; "" where nothing there would.
	Exception string    `json:"exception,omitempty"`
	Reason    string    `json:"reason"`         // of the last refusal
	Port      uint16    `json:"port,omitempty"` // of the last refusal, where there is an entry
	Count     uint64    `json:"count"`
	Last      time.Time `json:"last"`
}

// Observe returns what a bottle's audit log has of refused requests, without those that its present declaration allows: first what the
// allowlist would allow, then the rest, each with what was asked for most often first.
func (s *Service) Observe(ctx context.Context, bottle string, since time.Time) ([]Observed, error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return nil, err
	}
	o := &observer{seen: map[observedKey]*Observed{}}
	m, subnets, found, err := recorded(settings, bottle)
	if err != nil {
		return nil, err
	}
	if found { // a bottle that is gone has a log and no rules
		if o.judge, err = newJudge(m, subnets, settings); err != nil {
			return nil, err
		}
		o.private, o.spec = privateRanges(m), m.Spec
	}
	if err := s.Traffic(ctx, TrafficOptions{Bottles: []string{bottle}, Denied: true, Since: since}, o.add); err != nil {
		return nil, err
	}
	return o.all(), nil
}

// observer counts refusals. What it holds is bounded by the size of an audit log.
type observer struct {
	judge   *judge // nil: nothing is allowed
	private []netip.Prefix
	spec    v1alpha1.Spec
	seen    map[observedKey]*Observed
}

type observedKey struct{ entry, exception, reason string }

func (o *observer) add(r audit.Record) error {
	switch {
	case r.Gap != nil:
		missing := r.Lost
		for _, n := range r.Dropped {
			missing += n
		}
		o.count(observedKey{}, "of any outcome, missing in the log", missing, r.At())
	case r.Statement != nil:
		s := r.Statement
		entry, reason := o.entry(s), cmp.Or(string(s.Reason), string(s.Code), "refused with status "+string(s.Status))
		exception, excepted := o.exception(s)
		if entry != "" && o.allowed(s) || excepted {
			return nil
		}
		seen := o.count(observedKey{entry: entry, exception: exception}, reason, max(s.Count, 1), r.At())
		if entry != "" && seen.Last.Equal(r.At()) {
			seen.Port = s.Port
		}
	}
	return nil
}

// count counts what has one entry, or without any, one exception and reason.
func (o *observer) count(key observedKey, reason string, n uint64, at time.Time) *Observed {
	if key.entry == "" {
		key.reason = reason
	}
	seen := o.seen[key]
	if seen == nil {
		seen = &Observed{Entry: key.entry, Exception: key.exception}
		o.seen[key] = seen
	}
	seen.Count += n
	if !at.Before(seen.Last) {
		seen.Last, seen.Reason = at, reason
	}
	return seen
}

// entry is the entry of the allowlist that opens a host, if a manifest may have it.
func (o *observer) entry(s *audit.Statement) string {
	if s.Code != audit.CodeHostNotAllowed && s.Code != audit.CodePortNotAllowed || s.Host == "" {
		return ""
	}
	entry := string(s.Host)
	if s.Port != 443 && (s.Port != 80 || s.Code == audit.CodePortNotAllowed) { // an entry without a port has both, but no TLS at port 80
		entry = net.JoinHostPort(entry, strconv.Itoa(int(s.Port)))
	}
	if scalar.CheckAllowed(entry, o.private) != nil {
		return ""
	}
	return entry
}

// exception is the exception for what a rule has found, if a manifest may have it, and whether the present one has it.
func (o *observer) exception(s *audit.Statement) (text string, given bool) {
	e := v1alpha1.DLPException{Rule: string(s.Rule), Host: string(s.Host)}
	switch {
	case s.Code != audit.CodeDLP || s.Host == "" || !contract.IsDLPRule(e.Rule) || s.Method == http.MethodConnect:
		return "", false
	case e.Host == contract.CredProxyName:
		if e.Route = o.route(string(s.Path)); e.Route == "" {
			return "", false
		}
		return "{rule: " + e.Rule + ", route: " + e.Route + "}", o.isGiven(v1alpha1.DLPException{Rule: e.Rule, Route: e.Route})
	case s.Port != 80:
		e.Host = net.JoinHostPort(e.Host, strconv.Itoa(int(s.Port)))
	}
	if scalar.CheckAllowed(e.Host, o.private) != nil {
		return "", false
	}
	return "{rule: " + e.Rule + ", host: " + strconv.Quote(e.Host) + "}", o.isGiven(e)
}

func (o *observer) isGiven(e v1alpha1.DLPException) bool {
	return slices.Contains(o.spec.Egress.DLPExceptions, e)
}

// route is the path of the declared route that a request's path belongs to; "" for none.
func (o *observer) route(path string) string {
	if o.spec.CredProxy != nil {
		for _, r := range o.spec.CredProxy.Routes {
			if strings.HasPrefix(path, r.Path) {
				return r.Path
			}
		}
	}
	return ""
}

// allowed reports whether the present declaration allows the host that was refused, at that port.
func (o *observer) allowed(s *audit.Statement) bool {
	if o.judge == nil {
		return false
	}
	url := net.JoinHostPort(string(s.Host), strconv.Itoa(int(s.Port)))
	if s.Port == 80 && s.Method != http.MethodConnect {
		url = "http://" + url
	}
	c, err := o.judge.check(http.MethodGet, url)
	return err == nil && c.Allowed
}

func (o *observer) all() []Observed {
	var all []Observed
	for _, seen := range o.seen {
		all = append(all, *seen)
	}
	slices.SortFunc(all, func(a, b Observed) int {
		if (a.Entry == "") != (b.Entry == "") {
			return cmp.Compare(b.Entry, a.Entry) // "" last
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Exception, b.Exception), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// privateRanges are the ranges of private addresses that a manifest opens. They were checked when it was read.
func privateRanges(m v1alpha1.Bottle) []netip.Prefix {
	var ranges []netip.Prefix
	for _, cidr := range m.Spec.Egress.PrivateCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			ranges = append(ranges, p)
		}
	}
	return ranges
}
