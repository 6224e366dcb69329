package rules

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// TestManifestRoutesAreServed: routes that a manifest may have render to a file that cred-proxy takes and that means the same.
func TestManifestRoutesAreServed(t *testing.T) {
	served := 0
	rapid.Check(t, func(t *rapid.T) {
		documents, problems := parseRoutes(t, drawRoutes(t))
		if len(problems) > 0 {
			return
		}
		served++
		want := documents[0].Bottle.Spec.CredProxy.Routes
		for i := range want {
			want[i].TokenSlot = "env-" + want[i].Token.Env
		}
		data, err := route.Render(want)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		got, err := route.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(meaning(want), meaning(got)); diff != "" {
			t.Errorf("(-manifest +cred-proxy):\n%s", diff)
		}
	})
	if served == 0 {
		t.Error("no routes were valid")
	}
}

// TestProposalsAreJudgedAsManifests: of routes that cred-proxy takes, a proposal and a manifest with them have the same problems.
func TestProposalsAreJudgedAsManifests(t *testing.T) {
	refused, accepted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		routes := drawRoutes(t)
		data, err := route.Render(routes)
		if err != nil {
			return
		}
		routes, err = route.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, p := range route.CheckProposal(routes, nil) {
			got = append(got, spelledAlike(p.Error()))
		}
		for i := range routes {
			routes[i].Token = route.SecretRef{Env: "TOKEN"}
		}
		_, problems := parseRoutes(t, routes)
		for _, p := range problems {
			want = append(want, spelledAlike(p.Field+": "+p.Reason+"; "+p.Fix))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("problems (-manifest +proposal):\n%s", diff)
		}
		if len(got) > 0 {
			refused++
		} else {
			accepted++
		}
	})
	if refused == 0 || accepted == 0 {
		t.Errorf("%d refused, %d accepted: the test compares nothing", refused, accepted)
	}
}

// parseRoutes reads a manifest with the routes.
func parseRoutes(t *rapid.T, routes []route.Route) ([]*parse.Document, []parse.Problem) {
	text, err := parse.Encode(v1alpha1.Bottle{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.Kind, Metadata: v1alpha1.Metadata{Name: "a"}, Spec: v1alpha1.Spec{CredProxy: &v1alpha1.CredProxy{Routes: routes}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	documents, problems := parse.Documents(parse.Location{}, text)
	for _, d := range documents {
		Check(d)
		problems = append(problems, d.Problems()...)
	}
	return documents, problems
}

// spelledAlike takes the differences between the words of a manifest and a routes.json away.
func spelledAlike(text string) string {
	text = strings.ReplaceAll(text, "spec.credProxy.", "")
	text = strings.ReplaceAll(text, "found with token_slot", "found with token")
	return strings.ToLower(strings.ReplaceAll(text, "_", ""))
}

// meaning is what cred-proxy makes of routes, whatever the order of their lists.
func meaning(routes []route.Route) []route.Route {
	routes = slices.Clone(routes)
	slices.SortFunc(routes, func(a, b route.Route) int { return strings.Compare(a.Path, b.Path) })
	for i := range routes {
		r := &routes[i]
		r.Token = route.SecretRef{}
		r.Roles, r.Methods = slices.Sorted(slices.Values(r.Roles)), slices.Sorted(slices.Values(r.Methods))
		r.AllowQuery, r.GitURLs = slices.Sorted(slices.Values(r.AllowQuery)), slices.Sorted(slices.Values(r.GitURLs))
		if r.Paths != nil {
			r.Paths = &route.PathRules{Allow: slices.Sorted(slices.Values(r.Paths.Allow)), Deny: slices.Sorted(slices.Values(r.Paths.Deny))}
		}
		r.MaxRequestBody = strconv.FormatInt(r.MaxRequestBodyBytes(), 10)
	}
	return routes
}

// routeTexts are the texts that routes are drawn from. The first ones of each kind are good.
var routeTexts = map[string][]string{
	"path":     {"/a/", "/b/", "/c/d/", "/a/b/", "/", "/healthz/x/", "/a", "//", "/a/../", "/%61/", "/x~@+-._/", "/\u0085/", "/ghp_" + strings.Repeat("a", 36) + "/"},
	"upstream": {"https://a.example", "https://B.example:8443/x/y", "https://xn--c.example/", "https://a_b.example", "https://a.example/?q", "http://a.example", "HTTPS://a.example", "https://localhost", "https://10.0.0.1", "https://[fd00::1]:1", "https://1.2.3", "https://u:p@a.example", "https://cred-proxy", "https://a.example/..", ""},
	"scheme":   {"Bearer", "Basic", "", "two words"},
	"header":   {"x-api-key", "Authorization", "Cookie", "Host", "a_b"},
	"query":    {"key", "api_key", "a.b-c", "a&b"},
	"role":     append(route.Roles()[2:], "", "npm-registry", "npm-registry", "admin"),
	"method":   {"GET", "POST", "VERSION-CONTROL", "get", "TRACE", "G1"},
	"rule":     {"/v1", "/v1/*", "/a:b=c,d!e$f&g'h(i)j/", "/", "a", "/%61", "/a/..", "/" + strings.Repeat("a", 512)},
	"allow":    {"token", "filter[key]", "key", "K.E.Y", "key[]", "a&b", "", "a=b"},
	"name":     {"anthropic-beta", "X-Title", "x-api-key", "X-Forwarded-For", "Host", "a_b", "ANTHROPIC-BETA", "Content-Type", "x.y"},
	"value":    {"oauth-2025-04-20", "a, b", "", " a", "a\r\nb", "é", strings.Repeat("a", 257), "ghp_" + strings.Repeat("a", 36)},
	"giturl":   {"https://org@a.example/", "git@a.example:x/", "ssh://git@a.example:2222/", "git+ssh://git@a.example/x/", "a.example:", "https://u:p@a.example/", "https://a.example", "ftp://a.example/", "a.example", ""},
	"body":     {"", "10Mi", "1", "1.5Gi", "32M", "1e3", "1Ti", "2Ti", "100m", "0", "-1", "ten", "9223372036854775807"},
}

// routeDraw draws routes that are good but for one kind of texts, or one kind of numbers.
type routeDraw struct {
	*rapid.T
	odd string
}

func drawRoutes(t *rapid.T) []route.Route {
	odd := rapid.SampledFrom(append(slices.Sorted(maps.Keys(routeTexts)), "", "auth", "rate", "insecure", "insecure", "path", "path", "upstream", "upstream", "body")).Draw(t, "odd")
	d := routeDraw{t, odd}
	paths := rapid.Permutation(routeTexts["path"][:3]).Draw(t, "paths")
	routes := make([]route.Route, rapid.IntRange(1, 3).Draw(t, "routes"))
	for i := range routes {
		routes[i] = d.route()
		if odd != "path" {
			routes[i].Path = paths[i]
		}
	}
	return routes
}

func (d routeDraw) route() route.Route {
	r := route.Route{
		Path: d.text("path"), Upstream: d.text("upstream"), Token: route.SecretRef{Env: "TOKEN"}, TokenSlot: "slot", Methods: d.texts("method"),
		MaxRequestBody: d.text("body"), AllowSetCookie: d.sometimes("allowSetCookie"), InsecureUpstream: d.odd == "insecure" && d.sometimes("insecureUpstream"),
	}
	for i, place := range []*string{&r.AuthScheme, &r.AuthHeader, &r.AuthQuery} {
		kind := []string{"scheme", "header", "query"}[i]
		if d.odd == kind || d.odd == "auth" && d.sometimes(kind) {
			*place = d.text(kind)
		}
	}
	if d.odd == "query" && d.sometimes("allow") || d.odd == "allow" {
		r.AllowQuery = d.texts("allow")
	}
	for _, name := range d.texts("name") {
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[name] = d.text("value")
	}
	if d.odd == "giturl" || d.odd == "role" && d.sometimes("gitURLs") {
		r.GitURLs = d.texts("giturl")
	}
	for _, role := range d.texts("role") {
		r.Roles = append(r.Roles, route.Role(role))
	}
	if d.sometimes("paths") {
		r.Paths = &route.PathRules{Allow: d.texts("rule"), Deny: []string{d.text("rule")}}
	}
	if d.sometimes("rateLimit") {
		least := int64(1)
		if d.odd == "rate" {
			least = -1
		}
		r.RateLimit = &route.RateLimit{RequestsPerMinute: rapid.Int64Range(least, 9).Draw(d.T, "rate"), Burst: rapid.Int64Range(least, 9).Draw(d.T, "burst")}
	}
	return r
}

func (d routeDraw) sometimes(what string) bool { return rapid.Bool().Draw(d.T, what) }

func (d routeDraw) text(kind string) string {
	pool := routeTexts[kind]
	if d.odd != kind {
		pool = pool[:2]
	}
	return rapid.SampledFrom(pool).Draw(d.T, kind)
}

func (d routeDraw) texts(kind string) []string {
	if d.odd != kind {
		return rapid.Permutation(routeTexts[kind][:2]).Draw(d.T, kind)[:rapid.IntRange(0, 2).Draw(d.T, "number of "+kind)]
	}
	return rapid.SliceOfN(rapid.SampledFrom(routeTexts[kind]), 0, 3).Draw(d.T, kind)
}

// TestDrawnRoutesHaveEveryField keeps drawRoutes in step with the model.
func TestDrawnRoutesHaveEveryField(t *testing.T) {
	missing := map[string]bool{}
	for i := range reflect.TypeFor[route.Route]().NumField() {
		missing[reflect.TypeFor[route.Route]().Field(i).Name] = true
	}
	drawn := rapid.Custom(drawRoutes)
	for seed := range 500 {
		for _, r := range drawn.Example(seed) {
			for i := range reflect.ValueOf(r).NumField() {
				if !reflect.ValueOf(r).Field(i).IsZero() {
					delete(missing, reflect.TypeOf(r).Field(i).Name)
				}
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("never drawn: %v", missing)
	}
}
