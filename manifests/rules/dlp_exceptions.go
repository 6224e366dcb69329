package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	dlpExceptionsField = "spec.egress.dlpExceptions"
	maxDLPExceptions   = 100
)

func validateDLPExceptions(d *parse.Document, private []netip.Prefix) {
	all := d.Bottle.Spec.Egress.DLPExceptions
	if len(all) > maxDLPExceptions {
		d.Report(dlpExceptionsField, fmt.Sprintf("%d exceptions are more than %d", len(all), maxDLPExceptions), "set dlpAction: warn if nothing should be refused")
		return
	}
	for i, e := range all {
		field := parse.ElementOf(dlpExceptionsField, i)
		if at := field + ".rule"; d.Given(at) && !contract.IsDLPRule(e.Rule) {
			d.Report(at, "there is no rule "+scalar.Quote(e.Rule), suggestRule(e.Rule))
		}
		route, host := d.Has(field+".route"), d.Has(field+".host")
		switch {
		case !d.Given(field):
		case route && host:
			d.Report(field, "it has both route and host", "make two exceptions of it")
		case !route && !host:
			d.Report(field, "it has neither route nor host", "add route, the path of a route of spec.credProxy, or host")
		case slices.Contains(all[:i], e):
			d.Report(field, "the exception is given twice", "remove one of them")
		}
		if at := field + ".route"; d.Given(at) {
			validateExceptionRoute(d, at, e.Route)
		}
		if at := field + ".host"; d.Given(at) {
			if f := checkExceptionHost(e.Host, private); f != nil {
				d.Report(at, f.Reason, f.Fix)
			}
		}
	}
}

func suggestRule(name string) string {
	if meant := scalar.Closest(name, contract.DLPRules()); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "write the name that the refusal has; docs/reference/dlp-rules.md lists all"
}

func validateExceptionRoute(d *parse.Document, field, path string) {
	var paths []string
	if proxy := d.Bottle.Spec.CredProxy; proxy != nil {
		for _, r := range proxy.Routes {
			paths = append(paths, r.Path)
		}
	}
	switch {
	case slices.Contains(paths, path):
	case len(paths) == 0:
		d.Report(field, "the bottle has no routes", "name a host instead, or add the route to spec.credProxy.routes")
	default:
		d.Report(field, "no route has the path "+scalar.Quote(path), scalar.SuggestOneOf(path, paths))
	}
}

func checkExceptionHost(host string, private []netip.Prefix) *scalar.Fault {
	if strings.HasPrefix(host, "*") {
		return scalar.NewFault("an exception is for one host", "name the host in full")
	}
	if name, _, _ := strings.Cut(strings.ToLower(host), ":"); contract.IsReachable(name) {
		return scalar.NewFault(name+" is a part of the bottle itself", "write route, with the path of a route of spec.credProxy")
	}
	return scalar.CheckAllowed(host, private)
}

// completeDLPExceptions brings the hosts to one form.
func completeDLPExceptions(e *v1alpha1.Egress) {
	for i := range e.DLPExceptions {
		e.DLPExceptions[i].Host = scalar.CanonicalHost(e.DLPExceptions[i].Host)
	}
}
