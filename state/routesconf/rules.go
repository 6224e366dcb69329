package routesconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/routerules"
)

// checkAuth wants one place for the token. Values are not quoted: somebody may have put the token there.
func (r Route) checkAuth() error {
	given := 0
	for _, place := range []string{r.AuthScheme, r.AuthHeader, r.AuthQuery} {
		if place != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("only one of auth_scheme, auth_header and auth_query may be given")
	case r.AuthHeader != "" && !headerPattern.MatchString(r.AuthHeader):
		return errors.New("auth_header is not the name of a header, of letters, digits and dashes")
	case routerules.IsReservedHeader(r.AuthHeader):
		return fmt.Errorf("auth_header %q has another meaning", r.AuthHeader)
	case r.AuthQuery != "" && !queryPattern.MatchString(r.AuthQuery):
		return errors.New("auth_query is not the name of a parameter, of letters, digits, dots, dashes and underscores")
	case r.AuthQuery != "" && strings.HasPrefix(strings.ToLower(r.Upstream), "http:"):
		return errors.New("auth_query needs an https upstream: proxies see, and may log, the query of a plain-http request")
	case r.AuthScheme != "" && !schemePattern.MatchString(r.AuthScheme):
		return fmt.Errorf("auth_scheme %q is not one word like Bearer", r.AuthScheme)
	}
	return nil
}

func checkMethods(methods []string) error {
	for i, method := range methods {
		switch {
		case !routerules.IsMethod(method):
			return fmt.Errorf("method %q is not a word in upper case like GET", method)
		case routerules.IsReservedMethod(method):
			return fmt.Errorf("method %s is served on no route", method)
		case slices.Contains(methods[:i], method):
			return fmt.Errorf("method %s is given twice", method)
		}
	}
	return nil
}

func (p *Paths) check() error {
	if p == nil {
		return nil
	}
	if len(p.Allow)+len(p.Deny) == 0 {
		return errors.New("paths has neither allow nor deny")
	}
	return errors.Join(checkRules("allow", p.Allow), checkRules("deny", p.Deny))
}

func checkRules(list string, rules []string) error {
	if len(rules) > MaxPathRules {
		return fmt.Errorf("paths.%s: %d rules are more than the %d allowed", list, len(rules), MaxPathRules)
	}
	for i, rule := range rules {
		if len(rule) > 512 || !rulePattern.MatchString(rule) || checkDots(rule) != nil {
			return fmt.Errorf("paths.%s: %q is not a path like /v1/messages, without percent signs and . or .. segments; a segment may be *", list, rule)
		}
		if slices.Contains(rules[:i], rule) {
			return fmt.Errorf("paths.%s: %q is given twice", list, rule)
		}
	}
	return nil
}

func (l *RateLimit) check() error {
	switch {
	case l == nil:
		return nil
	case l.RequestsPerMinute < 1 || l.RequestsPerMinute > MaxRate:
		return fmt.Errorf("rate_limit.requests_per_minute %d is not between 1 and %d", l.RequestsPerMinute, MaxRate)
	case l.Burst < 0 || l.Burst > MaxRate:
		return fmt.Errorf("rate_limit.burst %d is not between 1 and %d", l.Burst, MaxRate)
	}
	return nil
}
