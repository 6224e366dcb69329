package credproxy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	model "github.com/bot-bottle/bottled/manifests/route"
)

func TestMethods(t *testing.T) {
	u := newUpstream(t, nil)
	some, all := to("/some/", u.URL), to("/all/", u.URL)
	some.Methods = []string{"GET", "POST"}
	b := newBench(t, u.ca(), some, all)
	for request, want := range map[string]int{
		"GET /some/": 200, "POST /some/": 200, "HEAD /some/": 200, "DELETE /some/": 405, "get /some/": 400, "OPTIONS /some/": 405, "PUT /some/": 405,
		"DELETE /all/": 200, "PROPFIND /all/": 200, "OPTIONS /all/": 200, "TRACE /all/": 405, "CONNECT /all/": 405,
	} {
		method, _, _ := strings.Cut(request, " ")
		// Only the request line counts.
		answer, _ := b.exchange(request + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\nX-HTTP-Method-Override: DELETE\r\n\r\n")
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %q; want %d", request, answer, want)
		}
		if allow := strings.Contains(answer, "Allow: GET, POST\r\n"); allow != (want == 405 && method != "TRACE" && method != "CONNECT") {
			t.Errorf("%s: %q; want the methods allowed with 405", request, answer)
		}
	}
	for _, r := range u.requests() {
		if r.Header.Get("X-Http-Method-Override") != "" {
			t.Error("the upstream was told another method")
		}
	}
}

func TestPathRules(t *testing.T) {
	u := newUpstream(t, nil)
	route := func(path string, allow, deny []string) model.Route {
		r := to(path, u.URL)
		r.Paths = &model.PathRules{Allow: allow, Deny: deny}
		return r
	}
	b := newBench(t, u.ca(),
		route("/allow/", []string{"/v1/messages", "/v1/models/", "/repos/*/issues", "/@scope/name", "/g:do"}, nil),
		route("/deny/", nil, []string{"/Admin", "/*/delete"}),
		route("/both/", []string{"/v1"}, []string{"/v1/batches"}))
	allowed := []string{
		"/allow/v1/messages", "/allow/v1/messages/", "/allow/v1/messages/count", "/allow/v1/messages?x=/v2", "/allow/v1/models", "/allow/v1/models/a",
		"/allow/repos/x/issues", "/allow/repos/x/issues/1", "/allow/%76%31/messages", "/allow/v1/messages/100%25", "/allow/@scope%2fname", "/allow/g:do", "/allow//v1/messages",
		"/deny/", "/deny/administrator", "/deny/x/y/delete", "/deny/x/deleted", "/deny/v1/Admin", "/deny/delete", "/both/v1/messages", "/both/v1/batch",
	}
	refused := []string{
		"/allow/", "/allow/v1", "/allow/v1/", "/allow/v1/messagesx", "/allow/v1/message", "/allow/V1/messages", "/allow/v2/v1/messages", "/allow/repos/x/pulls",
		"/allow/repos/x", "/allow/repos/x/y/issues", "/allow/repos//issues", "/allow/repos/x%2fy/issues", "/allow/v1;x/messages", "/allow/v1/messages;x", "/allow/v1%2f%2fmessages",
		"/allow/v1/messages/../../admin", "/allow/v1/messages/%2e%2e/admin", "/allow/v1/messages%3fx", "/allow/%2576%2531/messages",
		"/allow//v2", "/allow//", "/deny//admin", "/deny///Admin/x", "/both//v1/batches",
		"/deny/admin", "/deny/Admin", "/deny/ADMIN/users", "/deny/%61dmin", "/deny/%2561dmin", "/deny/admin;x=1", "/deny/admin.", "/deny/admin%20", "/deny/%2fadmin",
		"/deny/admin%2fusers", "/deny/x/delete", "/deny/x/DELETE/y", "/deny/x%2fdelete", "/deny/x/delete;y",
		"/both/v1/batches", "/both/v1/batches/1", "/both/v1/BATCHES", "/both/v2",
	}
	for _, path := range allowed {
		if resp := b.get(path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s; want 200", path, resp.Status, resp.body)
		}
	}
	if got := len(u.requests()); got != len(allowed) {
		t.Errorf("the upstream saw %d requests of %d allowed ones", got, len(allowed))
	}
	for _, path := range refused {
		if resp := b.get(path); resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s; want 403", path, resp.Status)
		}
	}
	if got := len(u.requests()); got != len(allowed) {
		t.Errorf("the upstream saw a refused request: %s", u.requests()[got-1].RequestURI)
	}
}

func TestRateLimit(t *testing.T) {
	u := newUpstream(t, nil)
	limited := to("/limited/", u.URL)
	limited.RateLimit = &model.RateLimit{RequestsPerMinute: 6, Burst: 3}
	b := newBench(t, u.ca(), limited, to("/free/", u.URL))
	statuses := func(n int) (got []int) {
		for range n {
			got = append(got, b.get("/limited/").StatusCode)
		}
		return got
	}
	if got := statuses(4); fmt.Sprint(got) != "[200 200 200 429]" {
		t.Errorf("statuses %v; want three and then no more", got)
	}
	resp := b.get("/limited/")
	if after := resp.Header.Get("Retry-After"); after != "10" && after != "9" {
		t.Errorf("Retry-After is %q; want some 10 s", after)
	}
	if !strings.Contains(resp.body, "limited to 6 requests a minute") {
		t.Errorf("the reason is %q", resp.body)
	}
	if resp := b.get("/free/"); resp.StatusCode != http.StatusOK {
		t.Errorf("another route: %s", resp.Status)
	}
	// A token's rotation is no way to get a new bucket; another limit is.
	b.write(b.dirs.token, "t", marker+"2")
	b.reload()
	if got := statuses(1); got[0] != http.StatusTooManyRequests {
		t.Errorf("after a reload: %v; want the limit to stay", got)
	}
	limited.RateLimit = &model.RateLimit{RequestsPerMinute: 2}
	b.routes(limited)
	b.reload()
	if got := statuses(3); fmt.Sprint(got) != "[200 200 429]" {
		t.Errorf("with a limit of 2 a minute: %v", got)
	}
	if got := len(u.requests()); got != 6 {
		t.Errorf("the upstream saw %d requests; want 6", got)
	}
}

func TestLimitRefills(t *testing.T) {
	l := newLimit(&model.RateLimit{RequestsPerMinute: 60, Burst: 2}, nil)
	now := time.Now()
	for i, step := range []struct {
		after time.Duration
		want  time.Duration
	}{{0, 0}, {0, 0}, {0, time.Second}, {500 * time.Millisecond, 500 * time.Millisecond}, {500 * time.Millisecond, 0}, {0, time.Second}, {time.Hour, 0}, {0, 0}, {0, time.Second}} {
		now = now.Add(step.after)
		if got := l.take(now); (got - step.want).Abs() > time.Millisecond {
			t.Errorf("step %d: wait %s; want %s", i, got, step.want)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d", n)
	})
	small := to("/a/", u.URL)
	small.MaxRequestBody = "1000"
	b := newBench(t, u.ca(), small)
	for name, test := range map[string]struct {
		size    int
		chunked bool
		want    int
	}{
		"at the limit": {1000, false, 200}, "at the limit, chunked": {1000, true, 200},
		"above": {1001, false, 413}, "above, chunked": {1001, true, 413}, "far above, chunked": {10 << 20, true, 413}, "far above": {10 << 20, false, 413},
	} {
		t.Run(name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(strings.Repeat("x", test.size))
			if test.chunked {
				body = io.MultiReader(body) // hides the length
			}
			resp, err := http.Post(b.server.URL+"/a/", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.whole(resp); got.StatusCode != test.want || test.want == 413 && !strings.Contains(got.body, "1000 bytes") {
				t.Errorf("%s %s; want %d", got.Status, got.body, test.want)
			}
		})
	}
}

// A client that announces a body, and does not send it, is answered, and holds nothing.
func TestAnnouncedBodyThatDoesNotCome(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	b := newBench(t, u.ca(), to("/a/", u.URL))
	for path, want := range map[string]string{"/nowhere": "404", "/a/early": "401"} {
		begin := time.Now()
		answer, closed := b.exchange("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) || !closed || time.Since(begin) > patience/2 {
			t.Errorf("%s: %q after %s, closed is %v; want %s and the end", path, answer, time.Since(begin), closed, want)
		}
	}
	b.requestLines(2)
}

func TestTooManyExchanges(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.open.Store(maxExchanges)
	if resp := b.get("/a/"); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%s %v; want 503", resp.Status, resp.Header)
	}
	if resp := b.get(healthPath); resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
	b.handler.open.Add(-maxExchanges) // the last one may still be counted
	if resp := b.get("/a/"); resp.StatusCode != http.StatusOK {
		t.Errorf("%s; want 200", resp.Status)
	}
	b.requestLines(2)
	b.until("all exchanges to be counted out", func() bool { return b.handler.open.Load() == 0 })
}

func TestSetCookieNeedsLeave(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		if r.URL.Query().Has("echo") {
			http.SetCookie(w, &http.Cookie{Name: "token", Value: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")})
		}
	})
	open := to("/open/", u.URL)
	open.AllowSetCookie = true
	b := newBench(t, u.ca(), open, to("/closed/", u.URL))
	if got := b.get("/open/", "Cookie: session=1").Header.Values("Set-Cookie"); len(got) != 1 || got[0] != "session=1" {
		t.Errorf("allowed: %q", got)
	}
	if got := b.get("/open/?echo").Header.Values("Set-Cookie"); len(got) != 0 {
		t.Errorf("one with the token in it: %q", got)
	}
	if got := b.get("/closed/").Header.Values("Set-Cookie"); len(got) != 0 {
		t.Errorf("not allowed: %q", got)
	}
	for _, r := range u.requests() {
		if r.Header.Get("Cookie") != "" {
			t.Error("the agent's cookie was sent")
		}
	}
}

// failing is a log that can't be written to while err is set.
type failing struct {
	sidecartest.Buffer
	err atomic.Pointer[error]
}

func (f *failing) Write(p []byte) (int, error) {
	if err := f.err.Load(); err != nil {
		return 0, *err
	}
	return f.Buffer.Write(p)
}

func (f *failing) fail(err error) { f.err.Store(&err) }

func TestWhatCannotBeAuditedIsRefused(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	out := &failing{}
	out.fail(os.ErrClosed)
	b.handler.audit = newAuditLog(zerolog.New(b.log), out, b.handler.errorLog)
	for range 2 {
		if resp := b.get("/a/"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(resp.body, "can't be audited") {
			t.Errorf("%s %s; want 503", resp.Status, resp.body)
		}
	}
	if seen := append(b.pipelock.requests(), fmt.Sprint(len(u.requests()))); len(seen) != 1 || seen[0] != "0" {
		t.Errorf("pipelock and the upstream saw %q", seen)
	}
	out.err.Store(nil)
	if resp := b.get("/a/"); resp.StatusCode != http.StatusOK {
		t.Errorf("when it can again: %s", resp.Status)
	}
	if got := strings.Count(out.String(), `"phase":"begin"`); got != 1 {
		t.Errorf("%d requests begin in the log; want the one that was made", got)
	}
}
