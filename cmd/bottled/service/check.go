package service

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy"
	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock"
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	credproxykind "github.com/bot-bottle/bottled/state/component/credproxy"
	pipelockkind "github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// Check is what a bottle's sidecars would decide about a request.
type Check struct {
	URL     string `json:"url"`
	Allowed bool   `json:"allowed"`
	// Rule is what decides: an entry of the allowlist, a private range, a route.
	Rule string `json:"rule,omitempty"`
	// Provided is what else must hold and can't be known without DNS; "" for nothing.
	Provided string `json:"provided,omitempty"`
	Reason   string `json:"reason,omitempty"` // of a refusal
	Hint     string `json:"hint,omitempty"`   // what to do about it
	Warning  string `json:"warning,omitempty"`
}

// CheckOptions say which rules are asked.
type CheckOptions struct {
	Bottle string
	Dirs   []string // of manifests; none: what the bottle was declared as last
	Method string
}

// Check decides about requests as the bottle's sidecars do. It asks no engine, no DNS and no controller.
func (s *Service) Check(o CheckOptions, urls []string) ([]Check, error) {
	j, err := s.judgeOf(o)
	if err != nil {
		return nil, err
	}
	var all []Check
	for _, text := range urls {
		c, err := j.check(o.Method, text)
		if err != nil {
			return nil, exit.Usage(fmt.Errorf("%q: %w", text, err))
		}
		all = append(all, c)
	}
	return all, nil
}

// judge is what a bottle's sidecars have for rules.
type judge struct {
	spec      v1alpha1.Spec
	pipelock  *pipelock.Judge
	credProxy *credproxy.Judge // nil for a bottle without
	cut       bool             // an operator has taken away the way out
}

func (s *Service) judgeOf(o CheckOptions) (*judge, error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return nil, err
	}
	m, subnets, err := s.declaration(settings, o)
	if err != nil {
		return nil, err
	}
	j, err := newJudge(m, subnets, settings)
	if err != nil || len(o.Dirs) > 0 {
		return j, err
	}
	asked, err := store.ReadIntervention(settings, o.Bottle)
	j.cut = asked.Cut
	return j, err
}

// declaration finds a bottle's manifest in directories, or in the record of what was declared last.
func (s *Service) declaration(settings state.Settings, o CheckOptions) (v1alpha1.Bottle, state.Subnets, error) {
	if len(o.Dirs) == 0 {
		m, subnets, found, err := recorded(settings, o.Bottle)
		if err == nil && !found {
			err = notRecorded(settings, o.Bottle)
		}
		return m, subnets, err
	}
	allocated, failed := state.Allocate(settings.Pool, []string{o.Bottle}, nil, nil)
	subnets := allocated[o.Bottle] // where the bottle most likely will be
	if err := failed[o.Bottle]; err != nil {
		return v1alpha1.Bottle{}, subnets, err
	}
	snapshot, err := load(source.Known{}, o.Dirs)
	if err != nil {
		return v1alpha1.Bottle{}, subnets, err
	}
	for _, m := range snapshot.Bottles {
		if m.Metadata.Name == o.Bottle {
			return m, subnets, nil
		}
	}
	for _, p := range snapshot.Problems {
		return v1alpha1.Bottle{}, subnets, exit.Invalid(fmt.Errorf("no valid manifest of bottle %q is in %s; the first problem: %w", o.Bottle, strings.Join(o.Dirs, ", "), p))
	}
	return v1alpha1.Bottle{}, subnets, exit.Usage(fmt.Errorf("no manifest of bottle %q is in %s", o.Bottle, strings.Join(o.Dirs, ", ")))
}

// recorded returns what a bottle was declared as last; false when there is no record of it.
func recorded(settings state.Settings, bottle string) (m v1alpha1.Bottle, subnets state.Subnets, found bool, err error) {
	b, found, err := store.ReadRecord(settings, bottle)
	for _, n := range b.Networks {
		if n.Internal {
			subnets.Internal = n.Subnet
		} else {
			subnets.Egress = n.Subnet
		}
	}
	return b.Declared, subnets, found, err
}

// newJudge renders what a manifest's sidecars are given.
func newJudge(m v1alpha1.Bottle, subnets state.Subnets, settings state.Settings) (*judge, error) {
	for _, name := range []state.ComponentName{state.Pipelock, state.CredProxy} {
		if ref, builtin := settings.Image(name); !builtin {
			return nil, fmt.Errorf("the image of %s is %s: only what the built-in one decides is known", name, ref)
		}
	}
	m.Spec.Agent = nil // which decides nothing
	var in resolve.Inputs
	in.SetTime(m, time.Now())
	b, err := render.Bottle(m, in, subnets, settings)
	if err != nil {
		return nil, err
	}
	j := &judge{spec: m.Spec}
	for _, dir := range b.Dirs {
		for name, file := range dir.Files {
			switch name {
			case filepath.Base(pipelockkind.ConfigFile):
				j.pipelock, err = pipelock.NewJudge(file.Content.Reveal(), subnets.Internal)
			case credproxykind.RoutesFile:
				j.credProxy, err = credproxy.NewJudge(file.Content.Reveal())
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

// check decides about a URL, or about HOST or HOST:PORT, which stand for a tunnel.
func (j *judge) check(method, text string) (Check, error) {
	written := text
	if !strings.Contains(text, "://") {
		written = "https://" + text
	}
	u, err := url.Parse(written)
	if err != nil {
		return Check{}, err
	}
	if u.Host == "" {
		return Check{}, fmt.Errorf("it has no host")
	}
	c := Check{URL: text}
	if j.spec.Supervise && u.Scheme == "http" && u.Host == contract.Supervise.Address() {
		c.Allowed, c.Rule = true, "supervise: asked directly, not through pipelock"
		return c, nil
	}
	if slices.ContainsFunc(j.spec.Services, func(s v1alpha1.Service) bool { return s.Name == u.Hostname() }) {
		c.Allowed, c.Rule = true, "spec.services: "+u.Hostname()+" is asked directly, not through pipelock"
		return c, nil
	}
	if j.cut {
		c.Reason, c.Hint = "an operator has cut the bottle off", "To undo: bottled resume"
		return c, nil
	}
	v, err := j.pipelock.Judge(method, u)
	if err != nil {
		return Check{}, err
	}
	c.Warning = v.Warning
	if v.Refusal != "" {
		c.Reason, c.Hint = v.Refusal, v.Hint
		return c, nil
	}
	c.Allowed, c.Rule = true, j.rule(v)
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && !contract.IsReachable(v.Entry) {
		c.Provided = strings.Join(append([]string{"its addresses are public"}, j.spec.Egress.PrivateCIDRs...), " or in ")
	}
	if j.credProxy != nil && u.Scheme == "http" && u.Host == contract.CredProxy.Address() {
		return j.checkRoute(c, method, u)
	}
	return c, nil
}

// rule says where an entry of the effective allowlist comes from.
func (j *judge) rule(v pipelock.Verdict) string {
	if contract.IsReachable(v.Entry) {
		return "component " + v.Entry
	}
	until, declared := j.until(v.Entry)
	if !declared {
		return "upstream of a route: " + v.Entry
	}
	rule := v1alpha1.AllowlistField + ": " + v.Entry
	if !until.IsZero() {
		rule += " until " + until.Format(time.RFC3339)
	}
	if v.Range != "" {
		rule += ", spec.egress.privateCIDRs: " + v.Range
	}
	return rule
}

// until returns when a host of the allowlist ends: zero for never, and the latest of several times.
func (j *judge) until(host string) (until time.Time, declared bool) {
	for _, a := range j.spec.Egress.Allowlist {
		switch {
		case a.Host != host:
		case a.Until.IsZero():
			return time.Time{}, true
		default:
			declared = true
			if a.Until.After(until) {
				until = a.Until
			}
		}
	}
	return until, declared
}

// checkRoute decides about a request that pipelock lets reach cred-proxy.
func (j *judge) checkRoute(c Check, method string, u *url.URL) (Check, error) {
	v, err := j.credProxy.Judge(method, cmp.Or(u.RequestURI(), "/"))
	if err != nil {
		return Check{}, err
	}
	c.Rule = "no route"
	if v.Route != "" {
		c.Rule = fmt.Sprintf("spec.credProxy.routes: %s to %s", v.Route, v.Upstream)
	}
	c.Allowed, c.Reason = v.Refusal == "", v.Refusal
	return c, nil
}
