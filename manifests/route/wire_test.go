package route

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/golden"
)

func TestRenderIsDeterministicAndReadBack(t *testing.T) {
	routes := []Route{
		{Path: "/npm/", Upstream: "https://registry.npmjs.org", AuthScheme: "Bearer", TokenSlot: "file-npm", Roles: []Role{RoleNPMRegistry}},
		{Path: "/", Upstream: "http://[fd00::1]:3000/api/v1/", TokenSlot: "x", InsecureUpstream: true},
		{Path: "/anthropic/", Upstream: "https://api.anthropic.com", TokenSlot: "env-T", Roles: []Role{RoleTeaLogin, RoleAnthropicBaseURL}},
		{
			Path: "/keyed/", Upstream: "https://k.example", AuthHeader: "x-api-key", TokenSlot: "k", Methods: []string{"POST", "GET"},
			Paths: &PathRules{Allow: []string{"/v1/", "/a/*"}, Deny: []string{"/v1/x"}}, RateLimit: &RateLimit{RequestsPerMinute: 60, Burst: 5},
			MaxRequestBody: "1Mi", AllowSetCookie: true, AllowQuery: []string{"token", "filter[key]"}, Roles: []Role{RoleGitInsteadOf},
			Headers: map[string]string{"X-Title": "a", "anthropic-beta": "oauth-2025-04-20"}, GitURLs: []string{"ssh://git@k.example:22/", "https://u@k.example/"},
		},
		{Path: "/query/", Upstream: "https://q.example", AuthQuery: "key", TokenSlot: "q"},
		{Path: "/gitea/api/", Upstream: "https://gitea.lan:3000/a%2Fb&c/", AuthScheme: "token", TokenSlot: "gitea"},
	}
	rendered, err := Render(routes)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/routes.json", string(rendered))

	parsed, err := Parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(parsed)
	again, err := Render(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rendered, again) {
		t.Errorf("another order renders differently:\n%s", again)
	}
	if got := routes[2].Roles[0]; got != RoleTeaLogin {
		t.Errorf("Render changed its argument: first role is now %q", got)
	}
}

func TestParseEmptyList(t *testing.T) {
	routes, err := Parse([]byte(`{"routes": []}`))
	if err != nil || len(routes) != 0 {
		t.Fatalf("Parse = %+v, %v; want no routes", routes, err)
	}
	rendered, err := Render(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(rendered); got != "{\n  \"routes\": []\n}\n" {
		t.Errorf("no routes render as %q", got)
	}
}

func TestParseFillsInScheme(t *testing.T) {
	routes, err := Parse([]byte(`{"routes":[{"path":"/a/","upstream":"https://a.example","token_slot":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := routes[0].AuthScheme; got != "Bearer" {
		t.Errorf("auth_scheme = %q, want Bearer", got)
	}
}

// route returns a routes.json with one good route in which some text is replaced.
func route(old, replacement string) string {
	const good = `{"routes":[{"path":"/a/","upstream":"https://a.example","auth_scheme":"Bearer","token_slot":"a","roles":["tea-login"]}]}`
	return strings.Replace(good, old, replacement, 1)
}

// refused are files that cred-proxy does not take, and what the error says.
var refused = map[string]struct{ in, want string }{
	"nothing":                   {``, "unexpected end"},
	"not JSON":                  {`{`, "unexpected end"},
	"null":                      {`null`, `"routes" is missing`},
	"no routes":                 {`{}`, `"routes" is missing`},
	"null routes":               {`{"routes":null}`, `"routes" is missing`},
	"trailing data":             {`{"routes":[]} {}`, "after top-level value"},
	"list":                      {`[]`, "cannot unmarshal array"},
	"unknown key":               {route(`"path"`, `"token":"s3cr3t","path"`), `unknown field "routes[0].token"`},
	"key in other case":         {route(`"path"`, `"Path"`), `unknown field`},
	"repeated key":              {route(`"path"`, `"path":"/b/","path"`), `duplicate field`},
	"wrong type":                {route(`"/a/"`, `1`), "cannot unmarshal number"},
	"path without slash":        {route(`/a/`, `/a`), "does not begin and end with a slash"},
	"relative path":             {route(`/a/`, `a/`), "does not begin and end with a slash"},
	"path with escape":          {route(`/a/`, `/%61/`), "percent-encoded"},
	"path with dots":            {route(`/a/`, `/a/../`), "is not clean"},
	"path with empty":           {route(`/a/`, `/a//`), "is not clean; write"},
	"path with query":           {route(`/a/`, `/a?/`), "the path has a query"},
	"no upstream":               {route(`https://a.example`, ``), "it is not an absolute URL"},
	"it is not an absolute URL": {route(`https://a.example`, `https://a b`), "it is not an absolute URL"},
	"plain http":                {route(`https://`, `http://`), "over plain http everybody"},
	"other scheme":              {route(`https://`, `ftp://`), "its scheme is not https"},
	"credentials":               {route(`https://`, `https://u:p@`), "it holds a user name or password"},
	"query":                     {route(`a.example`, `a.example/?x=1`), "it has a query or a fragment"},
	"bare question mark":        {route(`a.example`, `a.example/?`), "it has a query or a fragment"},
	"fragment":                  {route(`a.example`, `a.example/#`), "it has a query or a fragment"},
	"no host":                   {route(`a.example`, `/x`), "it is not an absolute URL"},
	"international host":        {route(`a.example`, `bücher.example`), "its host is not valid"},
	"trailing dot":              {route(`a.example`, `a.example.`), "its host is not valid"},
	"port 0":                    {route(`a.example`, `a.example:0`), "its port is not"},
	"large port":                {route(`a.example`, `a.example:65536`), "its port is not"},
	"empty port":                {route(`a.example`, `a.example:`), "its port is not"},
	"IPv6 zone":                 {route(`a.example`, `[fe80::1%25eth0]`), "its host is not valid"},
	"upstream dots":             {route(`a.example`, `a.example/x/%2e%2e/`), "is not clean"},
	"upstream backslash":        {route(`a.example`, `a.example/%5cx`), "its path is not clean"},
	"upstream control":          {route(`a.example`, `a.example/%00`), "control character"},
	"scheme of two words":       {route(`Bearer`, `Bearer x`), "it is not one word"},
	"scheme with newline":       {route(`Bearer`, `Bearer\r\nX:`), "it is not one word"},
	"two kinds of auth":         {route(`"auth_scheme"`, `"auth_header":"x-api-key","auth_scheme"`), "leave one of auth_scheme, auth_header and auth_query"},
	"header and query":          {route(`"auth_scheme":"Bearer"`, `"auth_header":"x-api-key","auth_query":"key"`), "leave one of auth_scheme, auth_header and auth_query"},
	"header with a colon":       {route(`"auth_scheme":"Bearer"`, `"auth_header":"x-api-key: s3cr3t"`), "it is not the name of a header"},
	"header with newline":       {route(`"auth_scheme":"Bearer"`, `"auth_header":"a\r\nb"`), "it is not the name of a header"},
	"header that frames":        {route(`"auth_scheme":"Bearer"`, `"auth_header":"Transfer-encoding"`), "another meaning"},
	"parameter and more":        {route(`"auth_scheme":"Bearer"`, `"auth_query":"a&b"`), "it is not the name of a query parameter"},
	"query over http":           {route(`"upstream":"https://a.example","auth_scheme":"Bearer"`, `"upstream":"http://a.example","insecure_upstream":true,"auth_query":"key"`), "may log it"},
	"method in lower case":      {route(`"roles"`, `"methods":["get"],"roles"`), "is not in upper case; write GET"},
	"method TRACE":              {route(`"roles"`, `"methods":["TRACE"],"roles"`), "is served on no route"},
	"method twice":              {route(`"roles"`, `"methods":["GET","GET"],"roles"`), "given twice"},
	"no rules":                  {route(`"roles"`, `"paths":{},"roles"`), "routes[0].paths: it has no rules"},
	"rule without slash":        {route(`"roles"`, `"paths":{"allow":["a"]},"roles"`), "does not begin with a slash"},
	"rule with dots":            {route(`"roles"`, `"paths":{"deny":["/a/../b"]},"roles"`), "is not clean"},
	"rule with escape":          {route(`"roles"`, `"paths":{"deny":["/%61"]},"roles"`), "percent-encoded"},
	"rule with half a *":        {route(`"roles"`, `"paths":{"deny":["/a*"]},"roles"`), "is not clean"},
	"rule twice":                {route(`"roles"`, `"paths":{"deny":["/a","/a"]},"roles"`), "given twice"},
	"too many rules":            {route(`"roles"`, `"paths":{"deny":[`+strings.TrimSuffix(strings.Repeat(`"/a",`, MaxPathRules+1), ",")+`]},"roles"`), "routes[0].paths.deny: 65 rules are more than 64"},
	"no rate":                   {route(`"roles"`, `"rate_limit":{},"roles"`), "routes[0].rate_limit.requests_per_minute: 0 is not a number of requests"},
	"negative burst":            {route(`"roles"`, `"rate_limit":{"requests_per_minute":1,"burst":-1},"roles"`), "routes[0].rate_limit.burst: -1 is not"},
	"negative body":             {route(`"roles"`, `"max_request_body":-1,"roles"`), `routes[0].max_request_body: "-1" is not a number of bytes`},
	"no parameters":             {route(`"roles"`, `"allow_query":[""],"roles"`), "routes[0].allow_query[0]: \"\" is not the name of a query parameter"},
	"the token's parameter":     {route(`"auth_scheme":"Bearer"`, `"auth_query":"key","allow_query":["Key[]"]`), "routes[0].allow_query[0]: the route sets this parameter itself"},
	"parameter twice":           {route(`"roles"`, `"allow_query":["key","key"],"roles"`), "given twice"},
	"fixed token":               {route(`"roles"`, `"headers":{"X-Api_Key":"s3cr3t"},"roles"`), "is not the name of a header"},
	"fixed credential":          {route(`"roles"`, `"headers":{"X-Api-Key":"s3cr3t"},"roles"`), "named like a credential"},
	"fixed header of the token": {route(`"auth_scheme":"Bearer"`, `"auth_header":"X-Shibboleth","headers":{"x-shib-boleth":"a"}`), "the token's"},
	"fixed host":                {route(`"roles"`, `"headers":{"Host":"a"},"roles"`), `decides about the header "Host"`},
	"fixed framing":             {route(`"roles"`, `"headers":{"Transfer-Encoding":"a"},"roles"`), "decides about the header"},
	"fixed hop":                 {route(`"roles"`, `"headers":{"Connection":"a"},"roles"`), "decides about the header"},
	"fixed client":              {route(`"roles"`, `"headers":{"X-Forwarded-For":"a"},"roles"`), "decides about the header"},
	"fixed line break":          {route(`"roles"`, `"headers":{"X-A":"a\r\nb"},"roles"`), "printable ASCII"},
	"fixed twice":               {route(`"roles"`, `"headers":{"X-A":"a","x-a":"b"},"roles"`), "servers may take it for"},
	"URLs without git":          {route(`"roles"`, `"git_urls":["https://u@a/"],"roles"`), "routes[0].git_urls: only the role git-insteadof"},
	"password in a git URL":     {route(`"roles":["tea-login"]`, `"git_urls":["https://u:p@a/"],"roles":["git-insteadof"]`), "without a password"},
	"no slot":                   {route(`"token_slot":"a"`, `"token_slot":""`), "routes[0].token_slot: "},
	"slot is a path":            {route(`"token_slot":"a"`, `"token_slot":"../a"`), "routes[0].token_slot: "},
	"hidden slot":               {route(`"token_slot":"a"`, `"token_slot":".."`), "routes[0].token_slot: "},
	"unknown role":              {route(`tea-login`, `admin`), `routes[0].roles[0]: "admin" is no role`},
	"role twice":                {route(`"tea-login"`, `"tea-login","tea-login"`), "is given twice"},
	"same path twice": {
		`{"routes":[{"path":"/a/","upstream":"https://a","token_slot":"a"},{"path":"/a/","upstream":"https://b","token_slot":"b"}]}`,
		`routes[1].path: "/a/" overlaps with "/a/" of routes[0].path`,
	},
	"single role twice": {
		`{"routes":[{"path":"/a/","upstream":"https://a","token_slot":"a","roles":["npm-registry"]},
		            {"path":"/b/","upstream":"https://b","token_slot":"b","roles":["npm-registry"]}]}`,
		"routes[1].roles[0]: the role npm-registry is taken by routes[0]",
	},
	"too large": {`{"routes":[` + strings.Repeat(" ", MaxBytes) + `]}`, "more than"},
}

func TestParseRefuses(t *testing.T) {
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			routes, err := Parse([]byte(test.in))
			if err == nil {
				t.Fatalf("Parse(%s) = %+v; want an error with %q", test.in, routes, test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse(%s): %v; want %q in it", test.in, err, test.want)
			}
			if strings.Contains(err.Error(), "u:p") {
				t.Errorf("the error shows the upstream's credentials: %v", err)
			}
		})
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	_, err := Parse([]byte(`{"routes":[{"path":"a","upstream":"https://a","token_slot":"/"},{"path":"/b/","upstream":"ftp://b","token_slot":"b"}]}`))
	if err == nil {
		t.Fatal("Parse accepted three mistakes")
	}
	for _, want := range []string{`routes[0].path: the path "a"`, `routes[0].token_slot: "/" is not`, `routes[1].upstream: its scheme`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestTooManyRoutes(t *testing.T) {
	if _, err := Render(make([]Route, MaxRoutes+1)); err == nil || !strings.Contains(err.Error(), "routes: 257 routes are more than 256") {
		t.Errorf("Render: %v; want a limit", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(route("", "")))
	f.Add([]byte(`{"routes":[]}`))
	f.Add([]byte(route(`https://a.example`, `http://[::1]:1/%2F`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		routes, err := Parse(data)
		if err != nil {
			return
		}
		rendered, err := Render(routes)
		if err != nil {
			t.Fatalf("Parse accepted what Render refuses: %v", err)
		}
		again, err := Parse(rendered)
		if err != nil {
			t.Fatalf("Render wrote what Parse refuses: %v\n%s", err, rendered)
		}
		if diff := cmp.Diff(routes, again); diff != "" {
			t.Fatalf("parsed, rendered and parsed again (-first +second):\n%s", diff)
		}
	})
}

// TestSpellingOfFile: problems name a field of routes.json as the file does.
func TestSpellingOfFile(t *testing.T) {
	for _, types := range [][2]reflect.Type{
		{reflect.TypeFor[Route](), reflect.TypeFor[Entry]()},
		{reflect.TypeFor[PathRules](), reflect.TypeFor[entryPaths]()},
		{reflect.TypeFor[RateLimit](), reflect.TypeFor[entryRateLimit]()},
	} {
		for i := range types[1].NumField() {
			field := types[1].Field(i)
			in, ok := types[0].FieldByName(field.Name)
			if !ok {
				t.Fatalf("a route has no %s", field.Name)
			}
			key, want := keyOf(in), keyOf(field)
			if key == "-" { // it stands in no manifest
				key = strings.ToLower(field.Name[:1]) + field.Name[1:]
			}
			if got := wireSpelling.path("routes[0]." + key); got != "routes[0]."+want {
				t.Errorf("%s is called %s", want, got)
			}
		}
	}
}

func keyOf(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return key
}
