package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// listHeaders hold a list whose elements a route adds to the client's. Anthropic's betas are such a list, in one header
// (https://docs.claude.com/en/api/beta-headers).
var listHeaders = setOf("anthropicbeta")

// IsListHeader reports whether a route's fixed header is added to the client's list instead of replacing it.
func IsListHeader(name string) bool { return listHeaders[Fold(name)] }

// countRule is how many elements a field may have, and what to say of others.
type countRule struct {
	most               int
	kind, elements     string
	whenNone, whenMany string // what to do
}

// checkCount validates the number of a field's elements. It returns false if they are not to be looked at.
func (c *checker) checkCount(field string, n int, rule countRule) bool {
	switch {
	case !c.fields.Usable(field):
		return false
	case n == 0:
		c.report(field, "the "+rule.kind+" is empty", rule.whenNone)
	case n > rule.most:
		c.report(field, fmt.Sprintf("%d %s are more than %d", n, rule.elements, rule.most), rule.whenMany)
		return false
	}
	return true
}

// checkAllowQuery validates the names of parameters that are sent on although they look like credentials.
func (c *checker) checkAllowQuery(field string, r Route) {
	if !c.checkCount(field, len(r.AllowQuery), countRule{
		MaxAllowed, "list", "parameters", "list names of query parameters, like [key], or remove it", "list only those that cred-proxy refuses",
	}) {
		return
	}
	for i, name := range r.AllowQuery {
		at := element(field, i)
		switch {
		case !c.fields.Usable(at):
		case !ParameterPattern.Matches(name):
			c.report(at, scalar.Quote(name)+" is not the name of a query parameter", "write the name alone, decoded, like key or filter[key]")
		case IsParameter(name, r.AuthQuery):
			c.report(at, "the route sets this parameter itself: it is the token's", c.key("remove it, or choose another authQuery"))
		case slices.Contains(r.AllowQuery[:i], name):
			c.report(at, "the parameter "+scalar.Quote(name)+" is given twice", "remove one of them")
		}
	}
}

// IsParameter reports whether servers may read a query parameter as the other one. "" is none.
func IsParameter(name, other string) bool {
	start, _, _ := strings.Cut(name, "[") // token[]=…
	return other != "" && (Fold(name) == Fold(other) || Fold(start) == Fold(other))
}

// checkHeaders validates the headers that a route sets.
func (c *checker) checkHeaders(field string, r Route) {
	if !c.checkCount(field, len(r.Headers), countRule{
		MaxHeaders, "mapping", "headers", "write NAME: VALUE, or remove it", "keep those that the upstream needs",
	}) {
		return
	}
	names := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		at := scalar.FieldOf(field, name)
		if !c.fields.Usable(at) {
			continue
		}
		if f := headerFault(name, r); f != nil {
			c.fault(at, f)
			continue
		}
		if !HeaderPattern.Matches(r.Headers[name]) {
			c.report(at, "the value is not 1 to 256 printable ASCII characters without spaces around them", "write it as the upstream's documentation does")
		}
		if other := names[Fold(name)]; other != "" {
			c.report(at, "servers may take it for "+scalar.Quote(other)+", which is given too", "remove one of them")
		}
		names[Fold(name)] = name
	}
}

// headerFault refuses headers that carry credentials, frame the message, or belong to a connection.
func headerFault(name string, r Route) *scalar.Fault {
	switch {
	case !AuthHeaderPattern.Matches(name):
		return scalar.NewFault(scalar.Quote(name)+" is not the name of a header", "use letters, digits and inner dashes")
	case r.AuthHeader != "" && Fold(name) == Fold(r.AuthHeader):
		return scalar.NewFault("the route sets this header itself: it is the token's", "remove it")
	case IsCredential(name):
		return scalar.NewFault(scalar.Quote(name)+" is named like a credential, which must not be in a manifest", "send a secret as the route's token, with authHeader")
	case IsReservedHeader(name), IsWithheldHeader(name):
		return scalar.NewFault("cred-proxy itself decides about the header "+scalar.Quote(name), "remove it")
	}
	return nil
}

// checkGitURLs validates further prefixes of repositories' URLs. They are not shown: one may hold a password.
func (c *checker) checkGitURLs(field string, r Route) {
	if !c.checkCount(field, len(r.GitURLs), countRule{
		MaxGitURLs, "list", "URLs", "list prefixes of URLs, like [https://USER@HOST/], or remove it", "list only those that are in use",
	}) {
		return
	}
	if len(r.GitURLs) > 0 && !r.Has(RoleGitInsteadOf) {
		c.report(field, "only the role git-insteadof uses it", "add git-insteadof to the route's roles")
	}
	for i, prefix := range r.GitURLs {
		at := element(field, i)
		switch {
		case !c.fields.Usable(at):
		case !GitURLPattern.Matches(prefix):
			c.report(at, "it is not the beginning of a repository's URL",
				"write what stands before the repository's path, with the slash: https://USER@HOST/, ssh://git@HOST:2222/ or git@HOST:, without a password")
		case slices.Contains(r.GitURLs[:i], prefix):
			c.report(at, "the URL is given twice", "remove one of them")
		}
	}
}
