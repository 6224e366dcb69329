package route

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// The most that the routes of one bottle may have.
const (
	MaxRoutes    = 256
	MaxMethods   = 32        // of a route, in a manifest
	MaxPathRules = 64        // in each list of a route
	MaxAllowed   = 32        // parameters of a route's allowQuery
	MaxHeaders   = 16        // of a route
	MaxGitURLs   = 64        // of a route
	MaxRate      = 1_000_000 // requests a minute, and burst

	maxPathRuleLength = 512
	maxRequestBody    = 1 << 40 // bytes, in a manifest
)

// The patterns of a route's fields.
const (
	PathPattern       scalar.Pattern = `^/([A-Za-z0-9._~@+-]+/)+$`
	UpstreamPattern   scalar.Pattern = `^https?://[^/?#@]+(/[^?#]*)?$`
	AuthSchemePattern scalar.Pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
	AuthHeaderPattern scalar.Pattern = `^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$`
	AuthQueryPattern  scalar.Pattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`
	MethodPattern     scalar.Pattern = `^[A-Z][A-Z-]{0,31}$`
	ParameterPattern  scalar.Pattern = `^[A-Za-z0-9$_]([A-Za-z0-9$_.\[\]-]{0,62}[A-Za-z0-9$_\]])?$`
	HeaderPattern     scalar.Pattern = `^[!-~]([ -~]{0,254}[!-~])?$`
	// GitURLPattern matches SCHEME://[USER@]HOST[:PORT]/[PATH/] and, as scp writes it, [USER@]HOST:[PATH/].
	GitURLPattern   scalar.Pattern = `^(((https?|ssh|git|git\+ssh|ssh\+git)://([A-Za-z0-9._~%+-]+@)?[A-Za-z0-9._-]+(:[0-9]{1,5})?/)|(([A-Za-z0-9._~%+-]+@)?[A-Za-z0-9._-]+:/?))([A-Za-z0-9._~%+-]+/)*$`
	PathRulePattern scalar.Pattern = `^(/([A-Za-z0-9._~@+:=,!$&'()-]+|\*))+/?$`

	slotPattern scalar.Pattern = `^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`
)

// Problem is a rule that a field breaks. Its texts hold no secret.
type Problem struct {
	Field string // as the document spells it
	scalar.Fault
}

// Error is the problem in one line: FIELD: REASON; FIX.
func (p Problem) Error() string { return p.Field + ": " + p.Reason + "; " + p.Fix }

// Fields reports which fields of a list of routes a document has. A field is named like routes[0].rateLimit.burst.
type Fields interface {
	// Has reports whether the field is there, whatever its value is.
	Has(field string) bool
	// Usable reports whether the field is there with a value of the right form. The rules judge no other.
	Usable(field string) bool
}

// Check validates the routes of a manifest, whose fields are below one that the prefix names. Addresses are allowed as
// upstreams within the private ranges.
func Check(routes []Route, fields Fields, prefix string, private []netip.Prefix) []Problem {
	c := checker{fields: fields, spelling: spelling{prefix: prefix}, private: private, strict: true}
	c.check(routes)
	return c.problems
}

// CheckProposal validates the routes of a proposed routes.json by the rules of a manifest. Problems name the fields as
// routes.json does.
func CheckProposal(routes []Route, private []netip.Prefix) []Problem {
	c := checker{spelling: wireSpelling, private: private, strict: true, wire: true}
	fields := fieldsOf(routes)
	for _, field := range fields.order {
		if f := fields.faults[field]; f != nil {
			c.fault(field, f)
		}
	}
	c.fields = fields
	c.check(routes)
	return c.problems
}

// checkServed validates the routes of a routes.json for cred-proxy. It is more lenient than a manifest: pipelock decides
// which upstreams cred-proxy reaches, and of overlapping paths the longest wins.
func checkServed(routes []Route) []Problem {
	fields := fieldsOf(routes)
	fields.faults = nil
	c := checker{spelling: wireSpelling, fields: fields, wire: true}
	c.check(routes)
	return c.problems
}

// checker collects the problems of a list of routes.
type checker struct {
	spelling
	fields   Fields
	private  []netip.Prefix
	strict   bool // a manifest's rules; otherwise only those that cred-proxy needs
	wire     bool // routes of a routes.json, with a slot for the token
	problems []Problem
}

func (c *checker) report(field, reason, fix string) {
	c.problems = append(c.problems, Problem{c.path(field), scalar.Fault{Reason: reason, Fix: fix}})
}

func (c *checker) fault(field string, f *scalar.Fault) { c.report(field, f.Reason, f.Fix) }

func (c *checker) check(routes []Route) {
	if len(routes) > MaxRoutes {
		c.report("routes", fmt.Sprintf("%d routes are more than %d", len(routes), MaxRoutes), "spread them over several bottles")
		return
	}
	for i, r := range routes {
		at := element("routes", i)
		c.checkPath(at+".path", r.Path)
		c.checkUpstream(at, r)
		c.checkAuth(at, r)
		switch {
		case !c.wire:
			c.checkToken(at+".token", r.Token)
		case !c.strict: // of a proposal's slots, supervise knows which there are
			c.checkSlot(at+".tokenSlot", r.TokenSlot)
		}
		c.checkTraffic(at, r)
		c.checkAllowQuery(at+".allowQuery", r)
		c.checkHeaders(at+".headers", r)
		c.checkGitURLs(at+".gitURLs", r)
	}
	c.checkOverlaps(routes)
	c.checkRoles(routes)
}

func element(list string, index int) string { return fmt.Sprintf("%s[%d]", list, index) }

func (c *checker) checkPath(field, p string) {
	if !c.fields.Usable(field) || !c.strict && p == "/" {
		return
	}
	if f := pathFault(p); f != nil {
		c.fault(field, f)
	} else if c.strict && strings.HasPrefix(p, "/healthz/") {
		c.report(field, "/healthz is the cred-proxy's own", "choose another path")
	}
}

func pathFault(p string) *scalar.Fault {
	normal := normalPath(p)
	fix := "write /NAME/, with only letters, digits and ._~@+- between the slashes"
	if normal != p && PathPattern.Matches(normal) {
		fix = "write " + scalar.Quote(normal)
	}
	switch {
	case p == "":
		return scalar.NewFault("the path is empty", fix)
	case p == "/":
		return scalar.NewFault("the path / would take every request, /healthz among them", fix)
	case !strings.HasPrefix(p, "/"), !strings.HasSuffix(p, "/"):
		return scalar.NewFault("the path "+scalar.Quote(p)+" does not begin and end with a slash", fix)
	case strings.ContainsAny(p, "?#"):
		return scalar.NewFault("the path has a query or a fragment", "write the path alone")
	case strings.Contains(p, "%"):
		return scalar.NewFault("the path has percent-encoded characters", fix)
	case !PathPattern.Matches(p), normal != p:
		return scalar.NewFault("the path "+scalar.Quote(p)+" is not clean", fix)
	}
	return nil
}

// normalPath is what a path amounts to: without empty and dot segments, with slashes around it.
func normalPath(p string) string {
	if p = path.Clean("/" + p); p == "/" {
		return p
	}
	return p + "/"
}

// checkOverlaps reports routes of which one takes the other's requests. Cred-proxy serves them if they are not the same.
func (c *checker) checkOverlaps(routes []Route) {
	for i, later := range routes {
		at := element("routes", i) + ".path"
		for j, earlier := range routes[:i] {
			other := element("routes", j) + ".path"
			if c.fields.Usable(at) && c.fields.Usable(other) && c.overlap(earlier.Path, later.Path) {
				c.report(at, fmt.Sprintf("%s overlaps with %s of %s", scalar.Quote(later.Path), scalar.Quote(earlier.Path), c.path(other)), "choose paths of which none begins with the other")
				break
			}
		}
	}
}

func (c *checker) overlap(a, b string) bool {
	if !c.strict {
		return a == b
	}
	a, b = normalPath(a), normalPath(b)
	return PathPattern.Matches(a) && PathPattern.Matches(b) && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

func (c *checker) checkRoles(routes []Route) {
	holders := map[Role]string{}
	for i, r := range routes {
		for j, role := range r.Roles {
			field := element(element("routes", i)+".roles", j)
			if !c.fields.Usable(field) {
				continue
			}
			holder, taken := holders[role]
			switch {
			case impossibleRoles[role].Reason != "":
				c.report(field, impossibleRoles[role].Reason, impossibleRoles[role].Fix)
			case !slices.Contains(Roles(), string(role)):
				c.report(field, scalar.Quote(string(role))+" is no role", scalar.SuggestOneOf(string(role), Roles()))
			case slices.Contains(r.Roles[:j], role):
				c.report(field, "the role "+string(role)+" is given twice", "remove one of them")
			case taken && !slices.Contains(sharedRoles, role):
				c.report(field, "the role "+string(role)+" is taken by "+c.path(holder), "leave it to one route")
			case !taken:
				holders[role] = element("routes", i)
			}
		}
	}
}
