package edit

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
)

const header = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: dev}\n"

func ExampleApply() {
	before := []byte(header + `spec:
  egress:
    allowlist:
      - api.github.com # for gh
`)
	after, err := Apply("dev.yaml", before, "dev", Append("spec.egress.allowlist", "registry.npmjs.org"))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Print(Diff("dev.yaml", before, after))
	// Output:
	// --- dev.yaml
	// +++ dev.yaml
	// @@ -5,3 +5,4 @@
	//    egress:
	//      allowlist:
	//        - api.github.com # for gh
	// +      - registry.npmjs.org
}

func TestStepsOf(t *testing.T) {
	for field, want := range map[string][]step{
		"spec.credProxy.routes[12].upstream": {{key: "spec"}, {key: "credProxy"}, {key: "routes"}, {index: 12}, {key: "upstream"}},
		`spec.agent.env["a.b[0]"]`:           {{key: "spec"}, {key: "agent"}, {key: "env"}, {key: "a.b[0]"}},
		`metadata.labels["a\"b"].c`:          {{key: "metadata"}, {key: "labels"}, {key: `a"b`}, {key: "c"}},
		"a[0][1]":                            {{key: "a"}, {index: 0}, {index: 1}},
	} {
		if got, err := stepsOf(field); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", field, got, err)
		}
	}
	for _, field := range []string{"", ".a", "a.", "a..b", "a[", "a[]", "a[-1]", "a[x]", "a[0]b", `a[""]`, `a["x]`, "a[0"} {
		if got, err := stepsOf(field); err == nil {
			t.Errorf("%q: %v", field, got)
		}
	}
}

func TestRefused(t *testing.T) {
	list := header + "spec: {egress: {allowlist: [a.example.com]}}\n"
	for _, c := range []struct {
		name, path, text string
		change           Change
		is               error
		reason           string
	}{
		{"another bottle", "", strings.Replace(list, "dev", "other", 1), changes[0], ErrUneditable, `it declares no bottle "dev"`},
		{"twice", "", list + "---\n" + list, changes[0], ErrUneditable, `it declares bottle "dev" twice`},
		{"syntax", "", list + "a: [\n", changes[0], ErrUneditable, "it is not YAML"},
		{"syntax behind", "", list + "---\na: [\n", changes[0], ErrUneditable, "it is not YAML"},
		{"no text", "", list + "# \x00\n", changes[0], ErrUneditable, "control character"},
		{"anchor", "", header + "spec: &a {egress: {allowlist: [a.example.com]}}\n", changes[0], ErrUneditable, "anchors, aliases and tags can't be edited"},
		{"tag", "", header + "spec: {egress: {allowlist: [!!str a.example.com]}}\n", changes[0], ErrUneditable, "anchors, aliases and tags can't be edited"},
		{"explicit key", "", header + "? spec\n: {}\n", changes[0], ErrUneditable, "line 4: "},
		{"no list", "", header + "spec: {egress: {allowlist: a.example.com}}\n", changes[0], ErrUneditable, "it is not a list"},
		{"no mapping", "", header + "spec: text\n", changes[0], ErrUneditable, "there is no place for the key"},
		{"no element", "", list, Set("spec.egress.allowlist[1]", "b.example.com"), ErrUneditable, "there is no place for the element [1]"},
		{"no field", "", list, Remove("spec.egress.dlpAction"), ErrUneditable, "there is no such field"},
		{"index of a mapping", "", list, Remove("spec[0]"), ErrUneditable, "there is no such field"},
		{"null", "", list, Set("spec.egress.dlpAction", nil), ErrUneditable, "the value has a null"},
		{"not JSON", "", list, Set("spec.egress.dlpAction", func() {}), ErrUneditable, "unsupported type"},
		{"no operation", "", list, Change{Field: "spec.egress"}, ErrUneditable, "the operation is unknown"},
		{"no path", "", list, Remove("spec..egress"), ErrUneditable, "is no path of a field"},
		{"not valid", "", list, Append("spec.egress.allowlist", "https://example.com/"), ErrInvalid, "dev.yaml:4:44: spec.egress.allowlist[1]"},
		{"unknown key", "", list, Set("spec.egress.hosts", []string{"a"}), ErrInvalid, "unknown key"},
		{"too large", "", list + "#" + strings.Repeat("x", parse.MaxFileSize-len(list)-2) + "\n", changes[0], ErrInvalid, "would be larger than 1024 KiB"},
		{"last line of a kept text", "", header + "spec:\n  agent:\n    image: a\n    env:\n      A: |\n        text", Set("spec.supervise", true), ErrUneditable, "the text around it would change its meaning"},
		{"comment without a place", "", header + "spec:\n  credProxy:\n    routes:\n      - authScheme: token\n        # about the path\n        path: /a/\n        upstream: https://a.example.com\n        token: {env: A}\n", Remove("spec.credProxy.routes[0].authScheme"), ErrUneditable, "a comment follows that would lose its place"},
		{"limited host in Markdown", "dev.md", "---\negress: {allowlist: [a.example.com]}\n---\n", Append("spec.egress.allowlist", limited), ErrUneditable, "a claude-bottle file can't say this"},
		{"token file in Markdown", "dev.md", "---\negress: {}\n---\n", Append("spec.credProxy.routes", route.Route{Path: "/a/", Upstream: "https://a.example.com", Token: route.SecretRef{File: "/a"}}), ErrUneditable, "a claude-bottle file can't say this"},
		{"Markdown without a bottle", "dev.md", "# Text\n", changes[0], ErrUneditable, "it is no bottle of claude-bottle"},
	} {
		path := c.path
		if path == "" {
			path = "dev.yaml"
		}
		after, err := Apply(path, []byte(c.text), "dev", c.change)
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.reason) || after != nil {
			t.Errorf("%s: %v, want %q; %q", c.name, err, c.reason, after)
		}
	}
}

// TestLimitedHost adds mappings to lists of texts, in the styles of their files.
func TestLimitedHost(t *testing.T) {
	for text, want := range map[string]string{
		"spec:\n  egress:\n    allowlist:\n    - a.example.com # a\n":                                          "    - a.example.com # a\n    - {host: b.example.com, until: \"2030-01-02T03:04:05Z\"}\n",
		"spec: {egress: {allowlist: [a.example.com]}}\n":                                                       "[a.example.com, {host: b.example.com, until: \"2030-01-02T03:04:05Z\"}]}}\n",
		"spec:\n  egress:\n    allowlist:\n      - host: a.example.com\n        until: 2030-01-01T00:00:00Z\n": "        until: 2030-01-01T00:00:00Z\n      - host: b.example.com\n        until: \"2030-01-02T03:04:05Z\"\n",
		"spec:\n  egress:\n    allowlist: []\n":                                                                "    allowlist:\n      - {host: b.example.com, until: \"2030-01-02T03:04:05Z\"}\n",
	} {
		after, err := Apply("dev.yaml", []byte(header+text), "dev", Append("spec.egress.allowlist", limited))
		if err != nil || !strings.HasSuffix(string(after), want) {
			t.Errorf("%s%v", after, err)
		}
	}
}

func TestSatisfied(t *testing.T) {
	text := []byte(header + "spec: {supervise: true, egress: {allowlist: [a.example.com, '*.example.com']}, credProxy: {routes: [{token: {env: A}, path: /a/, upstream: 'https://a.example.com'}]}}\n")
	a := route.Route{Path: "/a/", Upstream: "https://a.example.com", Token: route.SecretRef{Env: "A"}}
	b := a
	b.Token.Env = "B"
	for _, c := range []struct {
		change Change
		want   bool
	}{
		{Append("spec.egress.allowlist", "a.example.com"), true},
		{Append("spec.egress.allowlist", "*.example.com"), true},
		{Append("spec.egress.allowlist", "A.example.com"), false},
		{Append("spec.egress.allowlist", true), false},
		{Append("spec.egress.dlpExceptions", "a"), false},
		{Append("spec.credProxy.routes", a), true}, // whatever the order of its keys
		{Append("spec.credProxy.routes", b), false},
		{Set("spec.supervise", true), true},
		{Set("spec.supervise", "true"), false},
		{Set("spec.suspend", true), false},
		{Remove("spec.suspend"), true},
		{Remove("spec.supervise"), false},
	} {
		text := text
		for range 2 { // also when the change was stored meanwhile
			if got, err := Satisfied("dev.yaml", text, "dev", c.change); err != nil || got != c.want {
				t.Errorf("%s: %v, %v", c.change, got, err)
			}
			stored, err := json.Marshal(c.change)
			if err != nil {
				t.Fatal(err)
			}
			c.change = Change{}
			if err := json.Unmarshal(stored, &c.change); err != nil {
				t.Fatal(err)
			}
		}
		after, err := Apply("dev.yaml", text, "dev", c.change)
		if err != nil {
			continue
		}
		if done, err := Satisfied("dev.yaml", after, "dev", c.change); err != nil || !done {
			t.Errorf("%s was made: %v, %v", c.change, done, err)
		}
	}
	if _, err := Satisfied("dev.yaml", text, "other", changes[0]); !errors.Is(err, ErrUneditable) {
		t.Error(err)
	}
}

// TestBetween changes routes of a bottle, which has more than its file: the default scheme, absolute paths.
func TestBetween(t *testing.T) {
	before := []byte(header + `spec:
  credProxy:
    routes:
      - {path: /a/, upstream: https://a.example.com, token: {file: a}}   # first
      - path: /b/   # second
        upstream: https://b.example.com
        token: {env: B}
        methods: [GET] # reading
      - path: /c/
        upstream: https://c.example.com
        token: {env: C}
`)
	a := route.Route{Path: "/a/", Upstream: "https://a.example.com", AuthScheme: "Bearer", Token: route.SecretRef{File: "/etc/a"}}
	b := route.Route{Path: "/b/", Upstream: "https://b.example.com", AuthScheme: "Bearer", Token: route.SecretRef{Env: "B"}, Methods: []string{"GET"}}
	c := route.Route{Path: "/c/", Upstream: "https://c.example.com", AuthScheme: "Bearer", Token: route.SecretRef{Env: "C"}}
	b2 := b
	b2.Methods, b2.RateLimit = []string{"GET", "POST"}, &route.RateLimit{RequestsPerMinute: 5}
	d := newRoute("/d/", "d.example.com")
	all, err := Between("spec.credProxy.routes", []route.Route{a, b, c}, []route.Route{a, b2, d})
	if err != nil {
		t.Fatal(err)
	}
	after, err := Apply("dev.yaml", before, "dev", all...)
	if err != nil {
		t.Fatal(err)
	}
	want := `--- dev.yaml
+++ dev.yaml
@@ -8,7 +8,8 @@
       - path: /b/   # second
         upstream: https://b.example.com
         token: {env: B}
-        methods: [GET] # reading
-      - path: /c/
-        upstream: https://c.example.com
-        token: {env: C}
+        methods: [GET, POST] # reading
+        rateLimit: {requestsPerMinute: 5}
+      - path: /d/
+        upstream: https://d.example.com
+        token: {env: NEW_TOKEN}
`
	if diff := cmp.Diff(want, Diff("dev.yaml", before, after)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, other := range [][]route.Route{{b, a, c}, {d, a, b, c}} {
		whole, err := Between("spec.credProxy.routes", []route.Route{a, b, c}, other)
		if err != nil || len(whole) != 1 || whole[0].Op != OpSet || whole[0].Field != "spec.credProxy.routes" {
			t.Errorf("another order: %v, %v", whole, err)
		}
	}
	if none, err := Between("spec", map[string]any{"a": 1}, map[string]any{"a": 1}); err != nil || len(none) > 0 {
		t.Error(none, err)
	}
}

// TestLegacyRoutes changes all that a claude-bottle file has.
func TestLegacyRoutes(t *testing.T) {
	before := []byte("<!-- licence -->\r\n\r\n---\r\negress: {}\r\n---\r\ntext\r\n---\r\n")
	after, err := Apply("dev.md", before, "dev",
		Append("spec.credProxy.routes", route.Route{Path: "/a/", Upstream: "https://a.example.com", AuthScheme: "token", Token: route.SecretRef{Env: "A"}, Roles: []route.Role{route.RoleGitInsteadOf}}),
		Set("spec.credProxy.routes[0].token", route.SecretRef{Env: "B"}),
		Set("spec.egress.allowlist", []string{"b.example.com"}),
		Append("spec.egress.allowlist", "*.example.com"),
		Set("spec.agent.env", map[string]string{"LANG": "C.UTF-8"}),
		Set("spec.agent.env.TZ", "UTC"),
		Set("spec.supervise", true),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `<!-- licence -->

---
egress:
  allowlist: [b.example.com, "*.example.com"]
cred_proxy:
  routes:
    - path: /a/
      upstream: https://a.example.com
      auth_scheme: token
      token_ref: B
      role: [git-insteadof]
env: {LANG: C.UTF-8, TZ: UTC}
supervise: true
---
text
---
`
	if diff := cmp.Diff(strings.ReplaceAll(want, "\n", "\r\n"), string(after)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	again, err := Apply("dev.md", after, "dev", Remove("spec.credProxy"), Remove("spec.agent.env"), Remove("spec.egress.allowlist[1]"), Set("spec.credProxy.routes", []route.Route{newRoute("/c/", "c.example.com")}))
	if err != nil || !strings.Contains(string(again), "token_ref: NEW_TOKEN") {
		t.Errorf("%q, %v", again, err)
	}
}
