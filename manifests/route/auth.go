package route

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// checkAuth validates where the token goes. The values are not shown: one may be the token, put in the wrong place.
func (c *checker) checkAuth(field string, r Route) {
	scheme, header, query := field+".authScheme", field+".authHeader", field+".authQuery"
	var given []string
	for _, at := range []string{scheme, header, query} {
		if c.fields.Has(at) {
			given = append(given, at)
		}
	}
	if len(given) > 1 {
		c.report(given[1], "the token can be sent in one way only, and "+c.path(given[0])+" is given too", c.key("leave one of authScheme, authHeader and authQuery"))
	}
	if c.fields.Usable(scheme) && !AuthSchemePattern.Matches(r.AuthScheme) {
		c.report(scheme, "it is not one word", "write the scheme alone, like Bearer or Basic; the token is added to it")
	}
	if c.fields.Usable(header) {
		c.checkAuthHeader(header, r.AuthHeader)
	}
	if c.fields.Usable(query) {
		c.checkAuthQuery(query, r)
	}
}

func (c *checker) checkAuthHeader(field, name string) {
	switch {
	case !AuthHeaderPattern.Matches(name):
		c.report(field, "it is not the name of a header", "write the name alone, like x-api-key, with letters, digits and inner dashes; the token is its value")
	case IsReservedHeader(name):
		c.report(field, "the header "+scalar.Quote(name)+" has another meaning", "write the header that the upstream's documentation names for the token")
	}
}

func (c *checker) checkAuthQuery(field string, r Route) {
	switch {
	case !AuthQueryPattern.Matches(r.AuthQuery):
		c.report(field, "it is not the name of a query parameter", "write the name alone, like key, with letters, digits, dots, dashes and underscores; the token is its value")
	case strings.HasPrefix(strings.ToLower(r.Upstream), "http:"):
		c.report(field, "over plain http the proxies on the way see the query, and may log it", c.key("use an https upstream, or authHeader"))
	}
}

// checkToken validates the reference to a token in a manifest.
func (c *checker) checkToken(field string, token SecretRef) {
	if !c.fields.Usable(field) {
		return
	}
	var given []string
	for _, key := range []string{"env", "file", "exec"} {
		if c.fields.Has(field + "." + key) {
			given = append(given, key)
		}
	}
	const fix = "write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}"
	switch {
	case len(given) == 0:
		c.report(field, "it does not say where the token is found", fix)
	case len(given) > 1:
		c.report(field, strings.Join(given, " and ")+" are given", fix)
	}
	c.checkTokenExec(field, token)
	// The value is not shown: it may be the token itself, put in the wrong place.
	if c.fields.Usable(field+".env") && !scalar.EnvNamePattern.Matches(token.Env) {
		c.report(field+".env", "it is not the name of an environment variable", "write the name of the variable that holds the token, not the token; letters, digits and underscores, at most 120")
	}
	if c.fields.Usable(field + ".file") {
		if f := scalar.CheckFilePath(token.File); f != nil {
			c.fault(field+".file", f)
		}
	}
}

// checkSlot validates the reference to a token in a routes.json.
func (c *checker) checkSlot(field, slot string) {
	if !slotPattern.Matches(slot) {
		c.report(field, scalar.Quote(slot)+" is not the name of a file", "write the name of a slot for a token, of letters, digits, dots, dashes and underscores")
	}
}
