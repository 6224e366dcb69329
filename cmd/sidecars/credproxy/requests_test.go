package credproxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/contract"
	model "github.com/bot-bottle/bottled/manifests/route"
)

// A request without one of its parameters could mean more than it did, so one with a client's credential is not made at all.
func TestQueryCredentialsAreRefused(t *testing.T) {
	u := newUpstream(t, nil)
	own, allowed := to("/own/", u.URL), to("/allowed/", u.URL)
	own.AuthScheme, own.AuthQuery = "", "key"
	allowed.AllowQuery = []string{"key", "filter[key]", "token"}
	b := newBench(t, u.ca(), to("/a/", u.URL), own, allowed)
	refused := map[string]string{ // by the parameter that is named
		"/a/x?key=PROJ-1&ref=main": "key", "/a/x?ref=main&access_token=t": "access_token", "/a/x?API-KEY=k": "API-KEY", "/a/x?%6bey=k": "key",
		"/a/x?token[]=t": "token[]", "/a/x?a=1;private_token=t": "private_token", "/a/x?b=1%26api_key=k": "api_key", "/a/x?jwt=j": "jwt",
		"/a/x?%256bey=k": "key", "/a/x?key": "key", "/a/x?X-Amz-Signature=s": "X-Amz-Signature",
		"/a/x?a=1;key=" + contract.Placeholder:          "key", // a part of what a server may take for one value
		"/a/x?key=" + contract.Placeholder + "x":        "key",
		"/a/x?" + strings.Repeat("x", 99) + "_secret=s": strings.Repeat("x", 64) + "… is named",
		"/own/x?a=1;key=k":                              "key", "/own/x?a=1%26key=k": "key", "/own/x?token=t": "token",
		"/allowed/x?KEY=k": "KEY", "/allowed/x?key[]=k": "key[]", "/allowed/x?secret=s": "secret", "/allowed/x?key=1;sig=2": "sig",
	}
	for target, name := range refused {
		resp := b.get(target)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(resp.body, "parameter "+name) || !strings.Contains(resp.body, "allowQuery") {
			t.Errorf("%s: %s %q; want 400 that names %s", target, resp.Status, resp.body, name)
		}
	}
	if seen := u.requests(); len(seen) > 0 {
		t.Fatalf("the upstream saw %s", seen[0].RequestURI)
	}
	passed := map[string]string{
		"/a/x?pageToken=2&monkey=1":                             "pageToken=2&monkey=1",
		"/a/x?a=1&key=" + contract.Placeholder + "&b=2":         "a=1&b=2",
		"/own/x?key=mine&a=1":                                   "a=1&key=" + marker,
		"/allowed/x?key=k&ref=main":                             "key=k&ref=main",
		"/allowed/x?%6bey=k&filter[key]=1&token=" + "page2;key": "%6bey=k&filter[key]=1&token=page2;key",
	}
	for target, want := range passed {
		before := len(u.requests())
		if resp := b.get(target); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %q", target, resp.Status, resp.body)
		} else if got := u.requests()[before].URL.RawQuery; got != want {
			t.Errorf("%s: the upstream saw %q; want %q", target, got, want)
		}
	}
}

func TestFixedHeaders(t *testing.T) {
	u := newUpstream(t, nil)
	r := to("/a/", u.URL)
	r.Headers = map[string]string{"anthropic-beta": "oauth-2025-04-20", "X-Title": "bottle"}
	b := newBench(t, u.ca(), r)
	for name, test := range map[string]struct {
		lines []string
		beta  string
	}{
		"none of the client's":  {nil, "oauth-2025-04-20"},
		"more of a list":        {[]string{"anthropic-beta: a-1,b-2", "Anthropic-Beta: a-1"}, "oauth-2025-04-20, a-1, b-2"},
		"the same":              {[]string{"anthropic-beta: oauth-2025-04-20"}, "oauth-2025-04-20"},
		"in other spellings":    {[]string{"anthropic_beta: a-1", "X-Title: mine", "x_title: mine", "X.TITLE: mine"}, "oauth-2025-04-20, a-1"},
		"dropped by the client": {[]string{"X-Title: mine", "Anthropic-Beta: a", "Connection: X-Title, Anthropic-Beta"}, "oauth-2025-04-20"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(u.requests())
			b.raw("GET /a/x HTTP/1.1\r\nHost: x\r\n" + join(test.lines) + "\r\n")
			got := u.requests()[before].Header
			want := http.Header{
				"Anthropic-Beta": {test.beta}, "X-Title": {"bottle"}, "Authorization": {"Bearer " + marker}, "Accept-Encoding": {"identity"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the upstream's header (-want +got):\n%s", diff)
			}
		})
	}
}

// The token of a subscription is of no use without a beta that clients don't send for a bearer token of the environment.
func TestOAuthBeta(t *testing.T) {
	u := newUpstream(t, nil)
	route := func(slot string, set func(*model.Route)) model.Route {
		r := to("/a/", u.URL)
		r.TokenSlot, r.Roles = slot, []model.Role{model.RoleAnthropicBaseURL}
		if set != nil {
			set(&r)
		}
		return r
	}
	b := newBench(t, u.ca())
	b.write(b.dirs.token, "oauth", "sk-ant-oat01-"+marker)
	b.write(b.dirs.token, "key", "sk-ant-api03-"+marker)
	for name, test := range map[string]struct {
		route model.Route
		want  string
	}{
		"subscription":       {route("oauth", nil), "oauth-2025-04-20, a-1"},
		"key":                {route("key", nil), "a-1"},
		"without the role":   {route("oauth", func(r *model.Route) { r.Roles = nil }), "a-1"},
		"in another header":  {route("oauth", func(r *model.Route) { r.AuthScheme, r.AuthHeader = "", "x-api-key" }), "a-1"},
		"with one's own":     {route("oauth", func(r *model.Route) { r.Headers = map[string]string{"Anthropic-Beta": "oauth-2027"} }), "oauth-2027, a-1"},
		"with other headers": {route("oauth", func(r *model.Route) { r.Headers = map[string]string{"X-Title": "a"} }), "oauth-2025-04-20, a-1"},
	} {
		b.routes(test.route)
		b.reload()
		before := len(u.requests())
		b.get("/a/x", "anthropic-beta: a-1")
		if got := u.requests()[before].Header.Get("Anthropic-Beta"); got != test.want {
			t.Errorf("%s: anthropic-beta is %q, want %q", name, got, test.want)
		}
	}
}
