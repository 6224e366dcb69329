package credproxy

import (
	"net/url"
	"strings"
	"testing"

	model "github.com/bot-bottle/bottled/manifests/route"
)

func getLine(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// refused are requests that go nowhere.
var refused = map[string]struct {
	request string
	status  int
	want    string
}{
	"no route":                       {getLine("/b/"), 404, "no route"},
	"root":                           {getLine("/"), 404, "no route"},
	"route without its slash":        {getLine("/a"), 404, "no route"},
	"route in other case":            {getLine("/A/"), 404, "no route"},
	"encoded route":                  {getLine("/%61/"), 404, "no route"},
	"route with an encoded slash":    {getLine("/a%2f"), 404, "no route"},
	"absolute form":                  {getLine("http://evil.example/a/"), 400, "whole URLs"},
	"absolute form of ourselves":     {getLine("http://cred-proxy:9099/a/"), 400, "whole URLs"},
	"CONNECT":                        {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 405, "CONNECT"},
	"CONNECT to a route":             {"CONNECT /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
	"OPTIONS *":                      {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "whole URLs"},
	"TRACE":                          {"TRACE /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
	"TRACK":                          {"track /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
	"TRACE in lower case":            {"trace /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
	"TRACE in mixed case":            {"Trace /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
	"TRACE with a dash":              {"TRA-CE /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "would show the token"},
	"CONNECT in lower case":          {"connect /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
	"CONNECT in mixed case":          {"conNect /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT"},
	"GET in lower case":              {"get /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "upper-case"},
	"DELETE in mixed case":           {"Delete /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400, "upper-case"},
	"method with a digit":            {"GET2 /a/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "upper-case"},
	"session in the path":            {getLine("/a/x;jsessionid=1"), 400, "credential: jsessionid"},
	"token in the path":              {getLine("/a/x;a=1;Access%2dToken=1/y"), 400, "credential: Access%2dToken"},
	"upgrade":                        {"GET /a/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 426, "use HTTP"},
	"upgrade, other case":            {"GET /a/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c, WebSocket/13\r\n\r\n", 426, "use HTTP"},
	"WebSocket without Upgrade":      {"GET /a/ HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 426, "use HTTP"},
	"upgrade without Connection":     {"GET /a/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 426, "use HTTP"},
	"dots":                           {getLine("/a/../b"), 400, ". or .."},
	"dot":                            {getLine("/a/./b"), 400, ". or .."},
	"encoded dots":                   {getLine("/a/%2e%2e/b"), 400, ". or .."},
	"half-encoded dots":              {getLine("/a/.%2E/b"), 400, ". or .."},
	"dots behind an encoded slash":   {getLine("/a/x%2f..%2fb"), 400, ". or .."},
	"twice encoded dots":             {getLine("/a/%252e%252e/b"), 400, ". or .."},
	"thrice encoded dots":            {getLine("/a/%25252e%25252e/b"), 400, ". or .."},
	"encoded beyond reason":          {getLine("/a/%2525252e"), 400, "percent-encoded more than"},
	"dots with parameters":           {getLine("/a/..;x=1/b"), 400, ". or .."},
	"dots with a space":              {getLine("/a/..%20/b"), 400, ". or .."},
	"empty segment":                  {getLine("/a/b//c"), 400, "empty segment"},
	"empty last segment":             {getLine("/a/b//"), 400, "empty segment"},
	"empty segments around a route":  {getLine("//a//b"), 400, "empty segment"},
	"push behind two slashes":        {getLine("/a//git-receive-pack"), 403, "git push"},
	"dots behind two slashes":        {getLine("/a//../b"), 400, ". or .."},
	"empty first segment":            {getLine("//evil.example/a/"), 400, "empty segment"},
	"backslash":                      {getLine(`/a/..\b`), 400, "must be percent-encoded"},
	"encoded backslash":              {getLine("/a/..%5cb"), 400, "backslash"},
	"twice encoded backslash":        {getLine("/a/..%255cb"), 400, "backslash"},
	"NUL":                            {getLine("/a/%00"), 400, "control character"},
	"line break":                     {getLine("/a/%0d%0aX:%20y"), 400, "control character"},
	"malformed escape":               {getLine("/a/%zz"), 400, ""}, // by net/http
	"unescaped letter":               {getLine("/a/\xc3\xa9"), 400, "must be percent-encoded"},
	"fragment":                       {getLine("/a/#x"), 400, "must be percent-encoded"},
	"fragment in the query":          {getLine("/a/?x#y"), 400, "must be percent-encoded"},
	"malformed query":                {getLine("/a/?x=%zz"), 400, "malformed"},
	"push":                           {getLine("/a/r.git/git-receive-pack"), 403, "git push"},
	"push by POST":                   {"POST /a/r.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 403, "git push"},
	"push in other case":             {getLine("/a/r.git/Git-Receive-Pack"), 403, "git push"},
	"encoded push":                   {getLine("/a/r.git/git%2dreceive-pack"), 403, "git push"},
	"twice encoded push":             {getLine("/a/r.git/git%252dreceive-pack"), 403, "git push"},
	"push behind an encoded slash":   {getLine("/a/r.git%2fgit-receive-pack"), 403, "git push"},
	"push with a slash":              {getLine("/a/r.git/git-receive-pack/"), 403, "git push"},
	"push with parameters":           {getLine("/a/r.git/git-receive-pack;x"), 403, "git push"},
	"push with a dot":                {getLine("/a/r.git/git-receive-pack."), 403, "git push"},
	"push with a space":              {getLine("/a/r.git/git-receive-pack%20"), 403, "git push"},
	"push's refs":                    {getLine("/a/r.git/info/refs?service=git-receive-pack"), 403, "git push"},
	"push's refs, other case":        {getLine("/a/r.git/info/refs?SERVICE=GIT-receive-pack"), 403, "git push"},
	"push's refs, encoded":           {getLine("/a/r.git/info/refs?%73ervice=git%2Dreceive-pack"), 403, "git push"},
	"push's refs, second parameter":  {getLine("/a/r.git/info/refs?service=git-upload-pack&service=git-receive-pack"), 403, "git push"},
	"push's refs, semicolon":         {getLine("/a/r.git/info/refs?x=1;service=git-receive-pack"), 403, "git push"},
	"push's refs, encoded ampersand": {getLine("/a/r.git/info/refs?x=1%26service=git-receive-pack"), 403, "git push"},
	"token file missing":             {getLine("/none/x"), 503, "token file none cannot be read"},
	"token file empty":               {getLine("/empty/x"), 503, "token file empty is empty"},
	"large header":                   {"GET /a/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", 431, ""},
	"two lengths":                    {"POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, ""},
}

func TestRefuses(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL), model.Route{Path: "/none/", Upstream: u.URL, TokenSlot: "none"},
		model.Route{Path: "/empty/", Upstream: u.URL, TokenSlot: "empty"})
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			resp := b.raw(test.request)
			if resp.StatusCode != test.status || !strings.Contains(resp.body, test.want) {
				t.Errorf("%.100q: %s %q; want %d with %q", test.request, resp.Status, resp.body, test.status, test.want)
			}
		})
	}
	if seen := u.requests(); len(seen) > 0 {
		t.Errorf("the upstream saw %s", seen[0].RequestURI)
	}
	if seen := b.pipelock.requests(); len(seen) > 0 {
		t.Errorf("pipelock saw %q", seen)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"/a/b?c=d", "/a/%2e%2e/", "/a/@s%2fx", "/a/r.git/git%2dreceive-pack", "/?token=x&a;service=git-receive-pack", "/%25%32%65", "/npm/api/npm/a/-/a.tgz"} {
		f.Add(seed)
	}
	registry := &url.URL{Scheme: "https", Host: "a.example", Path: "/api/npm"}
	routes := &table{routes: []*route{{path: "/npm/", npm: true, upstream: registry}, {path: "/a/"}, {path: "/"}}}
	f.Fuzz(func(t *testing.T, uri string) {
		var got target
		path, query, d := routes.parseTarget(uri)
		if d == nil {
			query, d = queryRules{}.clean(query)
			got = target{path: path, query: query}
		}
		if d != nil {
			if d.status < 400 || d.reason == "" {
				t.Errorf("%q: denied as %+v", uri, d)
			}
			return
		}
		decoded, err := url.PathUnescape(got.path)
		if err != nil {
			t.Fatalf("%q: accepted with a malformed path: %v", uri, err)
		}
		if sent := (&url.URL{Path: decoded, RawPath: got.path}).EscapedPath(); sent != got.path {
			t.Errorf("%q: accepted as %q, but %q would be sent", uri, got.path, sent)
		}
		for range maxDecodings {
			for segment := range strings.SplitSeq(strings.ToLower(decoded), "/") {
				if segment == ".." || segment == "." || segment == receivePack {
					t.Errorf("%q: accepted with the segment %q", uri, segment)
				}
			}
			if decoded, err = url.PathUnescape(decoded); err != nil {
				break
			}
		}
		if values, err := url.ParseQuery(got.query); err == nil && (values.Has("token") || values.Has("service") && strings.EqualFold(values.Get("service"), receivePack)) {
			t.Errorf("%q: accepted with the query %q", uri, got.query)
		}
	})
}
