package pipelock

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock/dlp"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

// exception lets the matches of some rules pass in requests to one place.
type exception struct {
	target   target
	path     string // prefix, as it is written; it ends with a slash
	rules    []string
	detector *dlp.Detector // without these rules
}

// newExceptions parses suppress. The result has one exception for each place, the ones with the longest paths first: these have the rules
// of shorter ones, too.
func newExceptions(entries []pipelockconf.Suppress, detector *dlp.Detector) ([]exception, error) {
	var all []exception
	for _, entry := range entries {
		e, err := parseException(entry)
		if err != nil {
			return nil, fmt.Errorf("suppress: rule %q, path %q: %w", entry.Rule, entry.Path, err)
		}
		if !detector.Has(entry.Rule) {
			return nil, fmt.Errorf("suppress: there is no rule %q", entry.Rule)
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b exception) int { return len(b.path) - len(a.path) })
	var merged []exception
	for _, e := range all {
		if slices.ContainsFunc(merged, func(m exception) bool { return m.target == e.target && m.path == e.path }) {
			continue
		}
		e.rules = nil
		for _, other := range all {
			if other.target == e.target && strings.HasPrefix(e.path, other.path) {
				e.rules = append(e.rules, other.rules...)
			}
		}
		e.detector = detector.Without(e.rules)
		merged = append(merged, e)
	}
	return merged, nil
}

func parseException(entry pipelockconf.Suppress) (exception, error) {
	u, err := url.Parse(entry.Path)
	if err != nil {
		return exception{}, err
	}
	t, err := absoluteTarget(u)
	switch {
	case err != nil:
		return exception{}, err
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !isClean(u) || !strings.HasSuffix(u.EscapedPath(), "/"):
		return exception{}, fmt.Errorf("the path is not the beginning of URLs: it has to end with a slash")
	}
	return exception{target: t, path: u.EscapedPath(), rules: []string{entry.Rule}}, nil
}

// isClean reports whether no segment of a path can lead out of what is before it, however it is decoded.
func isClean(u *url.URL) bool {
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		decoded, err := url.PathUnescape(segment)
		name, _, _ := strings.Cut(decoded, ";") // some servers cut parameters off
		if err != nil || strings.ContainsAny(decoded, `/\%`) || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// exceptionFor returns the exception for a plain request; nil for none. A tunnel has none: what is scanned of it goes to DNS.
func (p *secretPolicy) exceptionFor(r *http.Request) *exception {
	if p == nil || len(p.exceptions) == 0 || r.Method == http.MethodConnect || !isClean(r.URL) {
		return nil
	}
	t, err := absoluteTarget(r.URL)
	if err != nil {
		return nil
	}
	for i, e := range p.exceptions {
		if e.target == t && strings.HasPrefix(r.URL.EscapedPath(), e.path) {
			return &p.exceptions[i]
		}
	}
	return nil
}

// allows reports whether p has an exception that is as wide as an exchange's.
func (p *secretPolicy) allows(e *exception) bool {
	if p == nil || e == nil {
		return true
	}
	for _, own := range p.exceptions {
		if own.target == e.target && strings.HasPrefix(e.path, own.path) {
			return !slices.ContainsFunc(e.rules, func(rule string) bool { return !slices.Contains(own.rules, rule) })
		}
	}
	return false
}

// found refuses a request to t because of what a rule has found, and names what a human can add to the manifest if it is no secret. A host
// that is not on the allowlist by its full name may have the secret in it.
func (x *exchange) found(where, rule string, t target) *refusal {
	r := &refusal{status: http.StatusForbidden, code: audit.CodeDLP, reason: dlp.Reason(where, rule), rule: rule}
	place := "host: HOST"
	switch {
	case rule == dlp.DataInName:
		r.hint = hintName
		return r
	case !x.policy.secrets.detector.Has(rule) || x.method == http.MethodConnect:
		r.hint = hintSecret
		return r
	case t.host == credProxy:
		place = "route: PATH OF THE ROUTE"
	case x.policy.allowlist.exact[t.host] != nil:
		place = "host: " + strings.TrimSuffix(t.String(), ":80")
	}
	r.hint = hintRule + " add {rule: " + rule + ", " + place + "} to spec.egress.dlpExceptions in the bottle's manifest."
	return r
}
