package routesconf

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestRenderIsDeterministicAndReadBack(t *testing.T) {
	file := File{Routes: []Route{
		{Path: "/npm/", Upstream: "https://registry.npmjs.org", AuthScheme: "Bearer", TokenSlot: "file-npm", Roles: []string{RoleNPMRegistry}},
		{Path: "/", Upstream: "http://[fd00::1]:3000/api/v1/", TokenSlot: "x", InsecureUpstream: true},
		{Path: "/anthropic/", Upstream: "https://api.anthropic.com", TokenSlot: "env-T", Roles: []string{RoleTeaLogin, RoleAnthropicBaseURL}},
		{
			Path: "/keyed/", Upstream: "https://k.example", AuthHeader: "x-api-key", TokenSlot: "k", Methods: []string{"POST", "GET"},
			Paths: &Paths{Allow: []string{"/v1/", "/a/*"}, Deny: []string{"/v1/x"}}, RateLimit: &RateLimit{RequestsPerMinute: 60, Burst: 5},
			MaxRequestBody: 1 << 20, AllowSetCookie: true,
		},
		{Path: "/query/", Upstream: "https://q.example", AuthQuery: "key", TokenSlot: "q"},
		{Path: "/gitea/api/", Upstream: "https://gitea.lan:3000/a%2Fb&c/", AuthScheme: "token", TokenSlot: "gitea"},
	}}
	rendered, err := file.Render()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/routes.json"
	if *update {
		if err := os.WriteFile(golden, rendered, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(rendered)); diff != "" {
		t.Errorf("rendered (-want +got):\n%s", diff)
	}

	parsed, err := Parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	reversed := File{Routes: append([]Route{}, parsed.Routes...)}
	for i, j := 0, len(reversed.Routes)-1; i < j; i, j = i+1, j-1 {
		reversed.Routes[i], reversed.Routes[j] = reversed.Routes[j], reversed.Routes[i]
	}
	again, err := reversed.Render()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rendered, again) {
		t.Errorf("another order renders differently:\n%s", again)
	}
	if got := file.Routes[2].Roles[0]; got != RoleTeaLogin {
		t.Errorf("Render changed its argument: first role is now %q", got)
	}
}

func TestParseEmptyList(t *testing.T) {
	file, err := Parse([]byte(`{"routes": []}`))
	if err != nil || len(file.Routes) != 0 {
		t.Fatalf("Parse = %+v, %v; want no routes", file, err)
	}
	rendered, err := File{}.Render()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(rendered); got != "{\n  \"routes\": []\n}\n" {
		t.Errorf("no routes render as %q", got)
	}
}

func TestParseFillsInScheme(t *testing.T) {
	file, err := Parse([]byte(`{"routes":[{"path":"/a/","upstream":"https://a.example","token_slot":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Routes[0].AuthScheme; got != "Bearer" {
		t.Errorf("auth_scheme = %q, want Bearer", got)
	}
}

// route returns a routes.json with one good route in which some text is replaced.
func route(old, replacement string) string {
	const good = `{"routes":[{"path":"/a/","upstream":"https://a.example","auth_scheme":"Bearer","token_slot":"a","roles":["tea-login"]}]}`
	return strings.Replace(good, old, replacement, 1)
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing":              {``, "unexpected end"},
		"not JSON":             {`{`, "unexpected end"},
		"null":                 {`null`, `"routes" is missing`},
		"no routes":            {`{}`, `"routes" is missing`},
		"null routes":          {`{"routes":null}`, `"routes" is missing`},
		"trailing data":        {`{"routes":[]} {}`, "after top-level value"},
		"list":                 {`[]`, "cannot unmarshal array"},
		"unknown key":          {route(`"path"`, `"token":"s3cr3t","path"`), `unknown field "routes[0].token"`},
		"key in other case":    {route(`"path"`, `"Path"`), `unknown field`},
		"repeated key":         {route(`"path"`, `"path":"/b/","path"`), `duplicate field`},
		"wrong type":           {route(`"/a/"`, `1`), "cannot unmarshal number"},
		"path without slash":   {route(`/a/`, `/a`), "begin and end with a slash"},
		"relative path":        {route(`/a/`, `a/`), "begin and end with a slash"},
		"path with escape":     {route(`/a/`, `/%61/`), "begin and end with a slash"},
		"path with dots":       {route(`/a/`, `/a/../`), "must not have . or .."},
		"path with empty":      {route(`/a/`, `/a//`), "begin and end with a slash"},
		"path with query":      {route(`/a/`, `/a?/`), "begin and end with a slash"},
		"no upstream":          {route(`https://a.example`, ``), "must begin with https://"},
		"not a URL":            {route(`https://a.example`, `https://a b`), "not a URL"},
		"plain http":           {route(`https://`, `http://`), "in clear"},
		"other scheme":         {route(`https://`, `ftp://`), "must begin with https://"},
		"credentials":          {route(`https://`, `https://u:p@`), "must not hold credentials"},
		"query":                {route(`a.example`, `a.example/?x=1`), "query or a fragment"},
		"bare question mark":   {route(`a.example`, `a.example/?`), "query or a fragment"},
		"fragment":             {route(`a.example`, `a.example/#`), "query or a fragment"},
		"no host":              {route(`a.example`, `/x`), "no valid host"},
		"international host":   {route(`a.example`, `bücher.example`), "no valid host"},
		"trailing dot":         {route(`a.example`, `a.example.`), "no valid host"},
		"port 0":               {route(`a.example`, `a.example:0`), "no valid host"},
		"large port":           {route(`a.example`, `a.example:65536`), "no valid host"},
		"empty port":           {route(`a.example`, `a.example:`), "no valid host"},
		"IPv6 zone":            {route(`a.example`, `[fe80::1%25eth0]`), "no valid host"},
		"upstream dots":        {route(`a.example`, `a.example/x/%2e%2e/`), "must not have . or .."},
		"upstream backslash":   {route(`a.example`, `a.example/%5cx`), "backslashes"},
		"upstream control":     {route(`a.example`, `a.example/%00`), "control characters"},
		"scheme of two words":  {route(`Bearer`, `Bearer x`), "not one word"},
		"scheme with newline":  {route(`Bearer`, `Bearer\r\nX:`), "not one word"},
		"two kinds of auth":    {route(`"auth_scheme"`, `"auth_header":"x-api-key","auth_scheme"`), "only one of auth_scheme"},
		"header and query":     {route(`"auth_scheme":"Bearer"`, `"auth_header":"x-api-key","auth_query":"key"`), "only one of auth_scheme"},
		"header with a colon":  {route(`"auth_scheme":"Bearer"`, `"auth_header":"x-api-key: s3cr3t"`), "not the name of a header"},
		"header with newline":  {route(`"auth_scheme":"Bearer"`, `"auth_header":"a\r\nb"`), "not the name of a header"},
		"header that frames":   {route(`"auth_scheme":"Bearer"`, `"auth_header":"Transfer-encoding"`), "another meaning"},
		"parameter and more":   {route(`"auth_scheme":"Bearer"`, `"auth_query":"a&b"`), "not the name of a parameter"},
		"query over http":      {route(`"upstream":"https://a.example","auth_scheme":"Bearer"`, `"upstream":"http://a.example","insecure_upstream":true,"auth_query":"key"`), "may log"},
		"method in lower case": {route(`"roles"`, `"methods":["get"],"roles"`), "upper case"},
		"method TRACE":         {route(`"roles"`, `"methods":["TRACE"],"roles"`), "on no route"},
		"method twice":         {route(`"roles"`, `"methods":["GET","GET"],"roles"`), "given twice"},
		"no rules":             {route(`"roles"`, `"paths":{},"roles"`), "neither allow nor deny"},
		"rule without slash":   {route(`"roles"`, `"paths":{"allow":["a"]},"roles"`), "is not a path like"},
		"rule with dots":       {route(`"roles"`, `"paths":{"deny":["/a/../b"]},"roles"`), "is not a path like"},
		"rule with escape":     {route(`"roles"`, `"paths":{"deny":["/%61"]},"roles"`), "is not a path like"},
		"rule with half a *":   {route(`"roles"`, `"paths":{"deny":["/a*"]},"roles"`), "is not a path like"},
		"rule twice":           {route(`"roles"`, `"paths":{"deny":["/a","/a"]},"roles"`), "given twice"},
		"too many rules":       {route(`"roles"`, `"paths":{"deny":[`+strings.TrimSuffix(strings.Repeat(`"/a",`, MaxPathRules+1), ",")+`]},"roles"`), "more than the 64"},
		"no rate":              {route(`"roles"`, `"rate_limit":{},"roles"`), "requests_per_minute 0"},
		"negative burst":       {route(`"roles"`, `"rate_limit":{"requests_per_minute":1,"burst":-1},"roles"`), "burst -1"},
		"negative body":        {route(`"roles"`, `"max_request_body":-1,"roles"`), "is negative"},
		"no slot":              {route(`"token_slot":"a"`, `"token_slot":""`), "not a file name"},
		"slot is a path":       {route(`"token_slot":"a"`, `"token_slot":"../a"`), "not a file name"},
		"hidden slot":          {route(`"token_slot":"a"`, `"token_slot":".."`), "not a file name"},
		"unknown role":         {route(`tea-login`, `admin`), "is not one of"},
		"role twice":           {route(`"tea-login"`, `"tea-login","tea-login"`), "is given twice"},
		"same path twice": {
			`{"routes":[{"path":"/a/","upstream":"https://a","token_slot":"a"},{"path":"/a/","upstream":"https://b","token_slot":"b"}]}`,
			"the same path",
		},
		"single role twice": {
			`{"routes":[{"path":"/a/","upstream":"https://a","token_slot":"a","roles":["npm-registry"]},
			            {"path":"/b/","upstream":"https://b","token_slot":"b","roles":["npm-registry"]}]}`,
			`only one route may have the role "npm-registry"`,
		},
		"too large": {`{"routes":[` + strings.Repeat(" ", MaxBytes) + `]}`, "more than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file, err := Parse([]byte(test.in))
			if err == nil {
				t.Fatalf("Parse(%s) = %+v; want an error with %q", test.in, file, test.want)
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
	for _, want := range []string{`route "a": path must`, `route "a": token_slot`, `route "/b/": upstream`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestTooManyRoutes(t *testing.T) {
	file := File{Routes: make([]Route, MaxRoutes+1)}
	if _, err := file.Render(); err == nil || !strings.Contains(err.Error(), "more than the 256 allowed") {
		t.Errorf("Render: %v; want a limit", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(route("", "")))
	f.Add([]byte(`{"routes":[]}`))
	f.Add([]byte(route(`https://a.example`, `http://[::1]:1/%2F`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		rendered, err := file.Render()
		if err != nil {
			t.Fatalf("Parse accepted what Render refuses: %v", err)
		}
		again, err := Parse(rendered)
		if err != nil {
			t.Fatalf("Render wrote what Parse refuses: %v\n%s", err, rendered)
		}
		if diff := cmp.Diff(file, again); diff != "" {
			t.Fatalf("parsed, rendered and parsed again (-first +second):\n%s", diff)
		}
	})
}
