package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/routerules"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// The most that a route may ask for.
const (
	maxMethods        = 32
	maxPathRules      = 64
	maxPathRuleLength = 512
	maxRate           = 1_000_000
	maxRequestBody    = 1 << 40 // bytes
)

// validateAuth judges where the token goes. The values are not shown: one may be the token, put in the wrong place.
func (d *document) validateAuth(field string, r Route) {
	scheme, header, query := field+".authScheme", field+".authHeader", field+".authQuery"
	var given []string
	for _, at := range []string{scheme, header, query} {
		if _, there := d.positions[at]; there {
			given = append(given, at)
		}
	}
	if len(given) > 1 {
		d.report(given[1], "the token can be sent in one way only, and "+given[0]+" is given too", "leave one of authScheme, authHeader and authQuery")
	}
	if d.given(scheme) && !authSchemePattern.Matches(r.AuthScheme) {
		d.report(scheme, "it is not one word", "write the scheme alone, like Bearer or Basic; the token is added to it")
	}
	if d.given(header) {
		d.validateAuthHeader(header, r.AuthHeader)
	}
	if d.given(query) {
		d.validateAuthQuery(query, r)
	}
}

func (d *document) validateAuthHeader(field, name string) {
	switch {
	case !authHeaderPattern.Matches(name):
		d.report(field, "it is not the name of a header", "write the name alone, like x-api-key, with letters, digits and inner dashes; the token is its value")
	case routerules.IsReservedHeader(name):
		d.report(field, "the header "+scalar.Quote(name)+" has another meaning", "write the header that the upstream's documentation names for the token")
	}
}

func (d *document) validateAuthQuery(field string, r Route) {
	switch {
	case !authQueryPattern.Matches(r.AuthQuery):
		d.report(field, "it is not the name of a query parameter", "write the name alone, like key, with letters, digits, dots, dashes and underscores; the token is its value")
	case strings.HasPrefix(strings.ToLower(r.Upstream), "http:"):
		d.report(field, "over plain http the proxies on the way see the query, and may log it", "use an https upstream, or authHeader")
	}
}

// validateRules judges what a route lets through.
func (d *document) validateRules(field string, r Route) {
	d.validateMethods(field+".methods", r.Methods)
	if r.Paths != nil && d.given(field+".paths") {
		d.validatePaths(field+".paths", *r.Paths)
	}
	if r.RateLimit != nil {
		d.validateRate(field+".rateLimit.requestsPerMinute", r.RateLimit.RequestsPerMinute)
		d.validateRate(field+".rateLimit.burst", r.RateLimit.Burst)
	}
	if at := field + ".maxRequestBody"; d.given(at) {
		d.validateBody(at, r.MaxRequestBody)
	}
}

func (d *document) validateMethods(field string, methods []string) {
	switch {
	case d.given(field) && len(methods) == 0:
		d.report(field, "the list is empty", "list the methods, like [GET, POST], or remove it to allow all")
	case len(methods) > maxMethods:
		d.report(field, fmt.Sprintf("%d methods are more than %d", len(methods), maxMethods), "remove it to allow all")
		return
	}
	for i, method := range methods {
		at := elementOf(field, i)
		if !d.given(at) {
			continue
		}
		upper := strings.ToUpper(method)
		switch {
		case routerules.IsReservedMethod(method):
			d.report(at, upper+" is served on no route", "remove it")
		case methodPattern.Matches(upper) && upper != method:
			d.report(at, scalar.Quote(method)+" is not in upper case", "write "+upper)
		case !methodPattern.Matches(method):
			d.report(at, scalar.Quote(method)+" is not an HTTP method", "write one word, like GET or POST")
		case slices.Contains(methods[:i], method):
			d.report(at, "the method "+method+" is given twice", "remove one of them")
		}
	}
}

func (d *document) validatePaths(field string, rules PathRules) {
	_, allow := d.positions[field+".allow"]
	_, deny := d.positions[field+".deny"]
	if !allow && !deny {
		d.report(field, "it has no rules", "add allow or deny, or remove it to allow all paths")
	}
	d.validatePathRules(field+".allow", rules.Allow)
	d.validatePathRules(field+".deny", rules.Deny)
}

func (d *document) validatePathRules(field string, rules []string) {
	switch {
	case !d.given(field):
		return
	case len(rules) == 0:
		d.report(field, "the list is empty", "list paths, like [/v1/messages], or remove it")
	case len(rules) > maxPathRules:
		d.report(field, fmt.Sprintf("%d rules are more than %d", len(rules), maxPathRules), "name a path above several of them, or use * for a segment")
		return
	}
	for i, rule := range rules {
		at := elementOf(field, i)
		if !d.given(at) {
			continue
		}
		if f := checkPathRule(rule); f != nil {
			d.report(at, f.Reason, f.Fix)
		} else if slices.Contains(rules[:i], rule) {
			d.report(at, "the path "+scalar.Quote(rule)+" is given twice", "remove one of them")
		}
	}
}

func checkPathRule(rule string) *scalar.Fault {
	const fix = "write a path below the route's own, like /v1/messages, with letters, digits and ._~@+:=,!$&'()- in its segments, or * for one whole segment"
	switch {
	case rule == "/":
		return scalar.NewFault("/ covers every path", "remove paths to allow all, or name the paths")
	case !strings.HasPrefix(rule, "/"):
		return scalar.NewFault("the path "+scalar.Quote(rule)+" does not begin with a slash", fix)
	case strings.ContainsAny(rule, "?#"):
		return scalar.NewFault("the path has a query or a fragment", "write the path alone")
	case strings.Contains(rule, "%"):
		return scalar.NewFault("the path has percent-encoded characters", "write it decoded: it is compared with what a request's path means")
	case len(rule) > maxPathRuleLength:
		return scalar.NewFault(fmt.Sprintf("the path has %d characters, more than %d", len(rule), maxPathRuleLength), "name a path above it")
	case !pathRulePattern.Matches(rule), slices.ContainsFunc(strings.Split(rule, "/"), func(s string) bool { return s == "." || s == ".." }):
		return scalar.NewFault("the path "+scalar.Quote(rule)+" is not clean", fix)
	}
	return nil
}

func (d *document) validateRate(field string, number int64) {
	if d.given(field) && (number < 1 || number > maxRate) {
		d.report(field, fmt.Sprintf("%d is not a number of requests", number), fmt.Sprintf("write a number from 1 to %d", maxRate))
	}
}

func (d *document) validateBody(field, text string) {
	switch bytes := scalar.Quantity(text, 1); {
	case !scalar.QuantityPattern.Matches(text):
		d.report(field, scalar.Quote(text)+" is not a quantity of bytes", scalar.SuggestQuantity(text))
	case bytes < 0 || bytes > maxRequestBody:
		d.report(field, scalar.Quote(text)+" is more than 1Ti", "write less, like 1Gi")
	case bytes == 0:
		d.report(field, "a body of 0 bytes is none", "list methods without a body, like [GET], under methods instead")
	case strings.HasSuffix(text, "m"):
		d.report(field, scalar.Quote(text)+" is thousandths of bytes", "write "+scalar.Quote(strings.TrimSuffix(text, "m")+"Mi")+" for mebibytes")
	}
}

// MaxRequestBodyBytes is the limit in bytes; 0 when there is none of the route's own. It is meant for a bottle that
// Load found valid.
func (r Route) MaxRequestBodyBytes() int64 { return scalar.Quantity(r.MaxRequestBody, 1) }
