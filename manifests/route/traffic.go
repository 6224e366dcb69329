package route

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// checkTraffic validates what a route lets through.
func (c *checker) checkTraffic(field string, r Route) {
	c.checkMethods(field+".methods", r.Methods)
	if r.Paths != nil && c.fields.Usable(field+".paths") {
		c.checkPaths(field+".paths", *r.Paths)
	}
	if r.RateLimit != nil {
		c.checkRate(field+".rateLimit.requestsPerMinute", r.RateLimit.RequestsPerMinute)
		c.checkRate(field+".rateLimit.burst", r.RateLimit.Burst)
	}
	if at := field + ".maxRequestBody"; c.fields.Usable(at) {
		c.checkBody(at, r)
	}
}

func (c *checker) checkMethods(field string, methods []string) {
	most := MaxMethods
	if !c.strict {
		most = math.MaxInt
	}
	if !c.checkCount(field, len(methods), countRule{most, "list", "methods", "list the methods, like [GET, POST], or remove it to allow all", "remove it to allow all"}) {
		return
	}
	for i, method := range methods {
		at := element(field, i)
		if !c.fields.Usable(at) {
			continue
		}
		upper := strings.ToUpper(method)
		switch {
		case IsReservedMethod(method):
			c.report(at, upper+" is served on no route", "remove it")
		case MethodPattern.Matches(upper) && upper != method:
			c.report(at, scalar.Quote(method)+" is not in upper case", "write "+upper)
		case !MethodPattern.Matches(method):
			c.report(at, scalar.Quote(method)+" is not an HTTP method", "write one word, like GET or POST")
		case slices.Contains(methods[:i], method):
			c.report(at, "the method "+method+" is given twice", "remove one of them")
		}
	}
}

func (c *checker) checkPaths(field string, rules PathRules) {
	if !c.fields.Has(field+".allow") && !c.fields.Has(field+".deny") {
		c.report(field, "it has no rules", "add allow or deny, or remove it to allow all paths")
	}
	c.checkPathRules(field+".allow", rules.Allow)
	c.checkPathRules(field+".deny", rules.Deny)
}

func (c *checker) checkPathRules(field string, rules []string) {
	if !c.checkCount(field, len(rules), countRule{
		MaxPathRules, "list", "rules", "list paths, like [/v1/messages], or remove it", "name a path above several of them, or use * for a segment",
	}) {
		return
	}
	for i, rule := range rules {
		at := element(field, i)
		if !c.fields.Usable(at) {
			continue
		}
		if f := pathRuleFault(rule); f != nil {
			c.fault(at, f)
		} else if slices.Contains(rules[:i], rule) {
			c.report(at, "the path "+scalar.Quote(rule)+" is given twice", "remove one of them")
		}
	}
}

func pathRuleFault(rule string) *scalar.Fault {
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
	case !PathRulePattern.Matches(rule), slices.ContainsFunc(strings.Split(rule, "/"), func(s string) bool { return s == "." || s == ".." }):
		return scalar.NewFault("the path "+scalar.Quote(rule)+" is not clean", fix)
	}
	return nil
}

func (c *checker) checkRate(field string, number int64) {
	if c.fields.Usable(field) && (number < 1 || number > MaxRate) {
		c.report(field, fmt.Sprintf("%d is not a number of requests", number), fmt.Sprintf("write a number from 1 to %d", MaxRate))
	}
}

func (c *checker) checkBody(field string, r Route) {
	text, bytes := r.MaxRequestBody, r.MaxRequestBodyBytes()
	switch {
	case !c.strict:
		if _, err := strconv.ParseInt(text, 10, 64); bytes < 0 || err != nil && !scalar.QuantityPattern.Matches(text) {
			c.report(field, scalar.Quote(text)+" is not a number of bytes", "write one, or remove it for 32 MiB")
		}
	case !scalar.QuantityPattern.Matches(text):
		c.report(field, scalar.Quote(text)+" is not a quantity of bytes", scalar.SuggestQuantity(text))
	case bytes < 0 || bytes > maxRequestBody:
		c.report(field, scalar.Quote(text)+" is more than 1Ti", "write less, like 1Gi")
	case bytes == 0:
		c.report(field, "a body of 0 bytes is none", "list methods without a body, like [GET], under methods instead")
	case strings.HasSuffix(text, "m"):
		c.report(field, scalar.Quote(text)+" is thousandths of bytes", "write "+scalar.Quote(strings.TrimSuffix(text, "m")+"Mi")+" for mebibytes")
	}
}
