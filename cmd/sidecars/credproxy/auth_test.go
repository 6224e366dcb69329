package credproxy

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/manifests/contract"
	model "github.com/bot-bottle/bottled/manifests/route"
)

// TestAuthPlaces shows the three places of a token, and that what the client sends there, or anywhere else where
// credentials go, is lost on every route.
func TestAuthPlaces(t *testing.T) {
	u := newUpstream(t, nil)
	route := func(path string, set func(*model.Route)) model.Route {
		r := model.Route{Path: path, Upstream: u.URL, TokenSlot: "odd"}
		set(&r)
		return r
	}
	b := newBench(t, u.ca(),
		route("/scheme/", func(r *model.Route) { r.AuthScheme = "token" }),
		route("/key/", func(r *model.Route) { r.AuthHeader = "x-api-key" }),
		route("/odd/", func(r *model.Route) { r.AuthHeader = "X-Shibboleth" }),
		route("/bare/", func(r *model.Route) { r.AuthHeader = "Authorization" }),
		route("/cookie/", func(r *model.Route) { r.AuthHeader = "Cookie" }),
		route("/query/", func(r *model.Route) { r.AuthQuery = "key" }),
		route("/oddquery/", func(r *model.Route) { r.AuthQuery = "Shib-boleth" }))
	const odd = marker + "&=+ %/é"
	b.write(b.dirs.token, "odd", odd)
	b.reload()
	tests := map[string]authPlace{
		"/scheme/":   {"Authorization", "token " + odd, ""},
		"/key/":      {"X-Api-Key", odd, ""},
		"/odd/":      {"X-Shibboleth", odd, ""},
		"/bare/":     {"Authorization", odd, ""},
		"/cookie/":   {"Cookie", odd, ""},
		"/query/":    {"", "", "key=" + url.QueryEscape(odd)},
		"/oddquery/": {"", "", "Shib-boleth=" + url.QueryEscape(odd)},
	}
	for path, want := range tests {
		before := len(u.requests())
		query, lines := withCredentials(path)
		b.get(path+query, lines...)
		checkAuth(t, path, u.requests()[before], want)
	}
	// The only parameter, and the client's cut off by nothing.
	before := len(u.requests())
	b.get("/query/x")
	if got := u.requests()[before].RequestURI; got != "/x?key="+url.QueryEscape(odd) {
		t.Errorf("without a query: %s", got)
	}
}

// authPlace is where a token is to be.
type authPlace struct{ header, value, query string }

// withCredentials returns a query and header lines with credentials of the client's own.
func withCredentials(path string) (query string, lines []string) {
	const own = ownCredential
	lines = []string{"X-Other: kept"}
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "Private-Token"} {
		lines = append(lines, name+": "+own)
	}
	if path == "/odd/" {
		lines = append(lines, "X-Shibboleth: "+own, "x_shibboleth: "+own, "X-SHIB-BOLETH: "+own)
	}
	query = "?a=1&access_token=" + contract.Placeholder + "&b=2"
	switch path {
	case "/query/":
		query += "&key=" + own + "&KEY=" + own + "&%6bey=" + own + "&key[]=" + own
	case "/oddquery/":
		query += "&shibboleth=" + own + "&SHIB_BOLETH=" + own + "&%73hib-boleth=" + own + "&shib-boleth[]=" + own
	}
	return query, lines
}

// checkAuth wants the token in its place, and nothing of the client's anywhere.
func checkAuth(t *testing.T, path string, r *http.Request, want authPlace) {
	t.Helper()
	if got := r.Header.Values(want.header); want.header != "" && (len(got) != 1 || got[0] != want.value) {
		t.Errorf("%s: %s is %q", path, want.header, got)
	}
	if got, want := r.URL.RawQuery, strings.TrimSuffix("a=1&b=2&"+want.query, "&"); got != want {
		t.Errorf("%s: the query is %q; want %q", path, got, want)
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), ownCredential) || strings.Contains(strings.Join(values, " "), marker) && name != want.header {
			t.Errorf("%s: the upstream got %s: %q", path, name, values)
		}
	}
	if r.Header.Get("X-Other") != "kept" {
		t.Errorf("%s: an ordinary header is lost", path)
	}
}

// TestQueryTokenIsNotShown looks at all that is answered and logged when a token is in the upstream's URL.
func TestQueryTokenIsNotShown(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangup":
			panic(http.ErrAbortHandler)
		case "/redirect":
			w.Header().Set("Location", r.URL.String()) // with the token
			w.WriteHeader(http.StatusFound)
		case "/away":
			w.Header().Set("Location", "https://"+strings.ReplaceAll(r.URL.RawQuery, "=", ".")+".evil.example/?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		default:
			w.Header().Set("Link", "<"+r.URL.String()+"&page=2>; rel=next")
			w.Header().Set("Trailer", "X-Url")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Url", r.URL.String())
		}
	})
	gone := newUpstream(t, nil)
	gone.Close()
	route := func(path, upstream string) model.Route {
		return model.Route{Path: path, Upstream: upstream, AuthQuery: "key", TokenSlot: "odd"}
	}
	b := newBench(t, u.ca(), route("/a/", u.URL), route("/gone/", gone.URL), route("/refused/", "https://refused.example"))
	b.pipelock.refuses("refused.example:443", "blocked")
	b.write(b.dirs.token, "odd", "a b&"+marker+"=")
	b.reload()
	for i, path := range []string{"/a/", "/a/redirect", "/a/away", "/a/hangup", "/gone/", "/refused/", "/a/" + url.PathEscape("a b&"+marker+"=")} {
		resp := b.get(path) // looks for the token in header, trailer and body
		for name := range resp.Header {
			if name == "Link" || name == "Location" {
				t.Errorf("%s: %s is shown: %q", path, name, resp.Header.Get(name))
			}
		}
		b.requestLines(i + 1) // at its end, the bench looks into the log
	}
	for _, seen := range b.pipelock.requests() {
		noSecret(t, "what pipelock saw", seen)
	}
}

func TestRedactsEveryForm(t *testing.T) {
	for _, value := range []string{marker, "user:" + marker, "a b&" + marker + "+/=", marker + "%"} {
		s := newSecret(value)
		encoded := base64.StdEncoding.EncodeToString([]byte(value))
		for _, form := range []string{value, encoded, strings.TrimRight(encoded, "="), url.QueryEscape(value), url.PathEscape(value)} {
			text := "before " + form + " after"
			if got := s.redact(text); strings.Contains(got, form) || !s.isIn(text) {
				t.Errorf("%q is redacted to %q", text, got)
			}
		}
		if text := "nothing to see"; s.redact(text) != text || s.isIn(text) {
			t.Error("text without the secret changes")
		}
	}
	if got := newSecret("user:" + marker).redact("my password " + marker); strings.Contains(got, marker) {
		t.Errorf("the password alone: %s", got)
	}
	var none secret
	if none.isIn("x") || none.redact("x") != "x" {
		t.Error("no secret is found in text")
	}
}

// TestLibrariesLogWithoutTheToken: net/http's transport logs what an upstream sends unasked, which may be the token.
func TestLibrariesLogWithoutTheToken(t *testing.T) {
	b := newBench(t, nil, to("/a/", "https://a.example"))
	out := &sidecartest.Buffer{}
	message := "Unsolicited response received on idle HTTP channel starting with \"HTTP/1.1 200 OK\r\n\r\n" + marker + "\""
	if n, err := (redactingLog{b.loader, zerolog.New(out)}).Write([]byte(message)); n != len(message) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	noSecret(t, "log", out.String())
	if !strings.Contains(out.String(), "Unsolicited response") {
		t.Errorf("the message is lost: %s", out.String())
	}
	if _, err := (redactingLog{&loader{}, zerolog.New(out)}).Write([]byte("before the first load")); err != nil {
		t.Error(err)
	}
}

// TestRotation replaces a token's file under the running program, in the ways in which that is done, and signals it.
func TestRotation(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, variant, _ := strings.Cut(r.Header.Get("Authorization"), marker)
		_, _ = io.WriteString(w, "token"+variant)
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.start(t)
	asks := func(want string) {
		t.Helper()
		b.until("the upstream to see "+want, func() bool {
			resp, err := http.Get("http://" + b.address + "/a/")
			return err == nil && b.whole(resp).body == want
		})
	}
	asks("token")
	b.write(b.dirs.token, "t", marker+"-renamed") // as bottled does
	sighup(t)
	asks("token-renamed")
	sidecartest.WriteFile(t, filepath.Join(b.dirs.token, "t"), marker+"-in-place")
	sighup(t)
	asks("token-in-place")
	b.write(b.dirs.token, "t", "\n") // half-way
	sighup(t)
	b.until("503", func() bool {
		resp, err := http.Get("http://" + b.address + "/a/")
		return err == nil && b.whole(resp).StatusCode == http.StatusServiceUnavailable
	})
	b.write(b.dirs.token, "t", marker+"-again")
	sighup(t)
	asks("token-again")
}
