package page

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// details are what a test says.
type details struct {
	description service.Description
	lines       []string
}

func (d *details) Describe(context.Context, string) (service.Description, error) {
	return d.description, nil
}

func (d *details) Logs(_ context.Context, o service.LogsOptions, show func(service.LogLine) error) error {
	for _, text := range d.lines {
		l := service.LogLine{Target: o.Of[0]}
		l.Text = []byte(text)
		if err := show(l); err != nil {
			return err
		}
	}
	return nil
}

// visitor is a browser, as far as the page can tell.
type visitor struct {
	t      *testing.T
	page   *Page
	source *apitest.Source
	cookie string
	// Sent with every request; nil for those of a browser on the page itself.
	header http.Header
	host   string
}

// unsigned is a name of the page without a session.
const unsigned = "bottled-x.localhost:9300"

func open(t *testing.T) *visitor {
	t.Helper()
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("dev", "Ready", "", apitest.Component(state.Agent, "running", 0))))
	return &visitor{t: t, page: New(source, &details{}, zerolog.New(zerolog.NewTestWriter(t))), source: source, host: unsigned}
}

func (v *visitor) send(method, path string, form url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	r := httptest.NewRequest(method, "http://"+v.host+path, strings.NewReader(form.Encode()))
	r.Host = v.host
	if v.header != nil {
		r.Header = v.header.Clone()
	} else if method == http.MethodPost {
		r.Header.Set("Origin", "http://"+v.host)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if v.cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: v.cookie})
	}
	w := httptest.NewRecorder()
	v.page.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
			v.t.Errorf("cookie %v", c)
		}
		v.cookie = c.Value
	}
	return w
}

// signIn opens a session.
func (v *visitor) signIn(user string, readOnly bool) *visitor {
	v.t.Helper()
	if w := v.send("POST", v.link(user, readOnly), nil); w.Code != http.StatusSeeOther || v.cookie == "" {
		v.t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	return v
}

// link makes a link, goes to its host, and returns its path.
func (v *visitor) link(user string, readOnly bool) string {
	host, path := v.page.Link(user, readOnly)
	v.host = host + ":9300"
	return path
}

// token is that of the visitor's session.
func (v *visitor) token() string { return v.page.sessions.open[hashOf(v.name(), v.cookie)].Token }

// name is the host without the port.
func (v *visitor) name() string { return strings.TrimSuffix(v.host, ":9300") }

func review(change func(*reconciler.Review)) reconciler.Review {
	r := reconciler.Review{
		Proposal: reconciler.Proposal{
			ID: "20261127t1-abc", Bottle: "dev", Tool: queue.PipelockBlock, Asked: time.Now(), Expires: time.Now().Add(time.Hour), Summary: "allow a.example:443",
			Justification: "needed", State: reconciler.ProposalWaiting,
		},
		Payload: "https://a.example/", File: "/m/dev.yaml", Digest: "d1", Diff: "-a\n+b\n", Edited: "b\r\n", Refused: []reconciler.RefusedRequest{}, Plan: []string{"reload pipelock"},
	}
	if change != nil {
		change(&r)
	}
	return r
}

// TestSessions: a link works once and soon, sets a new cookie whatever the browser had, and ends.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := open(t)
		if w := v.send("GET", "/", nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), ">dev<") {
			t.Errorf("without a session: %d %s", w.Code, w.Body)
		}
		link := v.link("ann", false)
		for range 2 { // a messenger that looks at the link does not use it up
			if w := v.send("GET", link, nil); w.Code != http.StatusOK || v.cookie != "" {
				t.Errorf("looked at: %d", w.Code)
			}
		}
		v.cookie = "chosen-by-somebody-else"
		if w := v.send("POST", link, nil); w.Code != http.StatusSeeOther || v.cookie == "chosen-by-somebody-else" || w.Header().Get("Location") != "/" {
			t.Errorf("%d, cookie %s", w.Code, v.cookie)
		}
		if w := v.send("GET", "/", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "ann") || strings.Contains(w.Body.String(), v.cookie) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := v.send("POST", link, nil); w.Code != http.StatusForbidden {
			t.Errorf("twice: %d", w.Code)
		}
		late := v.link("ann", false)
		was := v.cookie
		time.Sleep(linkLasts + time.Second)
		if w := v.send("POST", late, nil); w.Code != http.StatusForbidden || v.cookie != was {
			t.Errorf("late: %d", w.Code)
		}
		v.signIn("ann", false)
		for range 10 {
			time.Sleep(idleLasts - time.Minute)
			if w := v.send("GET", "/", nil); w.Code != http.StatusOK {
				break
			}
		}
		if w := v.send("GET", "/", nil); w.Code != http.StatusUnauthorized {
			t.Errorf("after days: %d", w.Code)
		}
		v.signIn("ann", false)
		time.Sleep(idleLasts + time.Second)
		if w := v.send("GET", "/", nil); w.Code != http.StatusUnauthorized {
			t.Errorf("unused: %d", w.Code)
		}
		v.signIn("ann", false)
		if w := v.send("POST", "/logout", url.Values{"token": {v.token()}}); w.Code != http.StatusSeeOther {
			t.Errorf("sign out: %d", w.Code)
		}
		if w := v.send("GET", "/", nil); w.Code != http.StatusUnauthorized {
			t.Errorf("after signing out: %d", w.Code)
		}
		for range 100 { // of somebody who can ask for links: they take no more room
			v.signIn("ann", false)
			v.page.Link("ann", false)
		}
		if n, m := len(v.page.sessions.open), len(v.page.sessions.links); n > maxSessions || m > maxLinks {
			t.Errorf("%d sessions, %d links", n, m)
		}
	})
}

// TestHosts: each link has a host that nobody can guess, so no other port of this machine is brought the cookie, and the cookie and the link count
// there alone.
func TestHosts(t *testing.T) {
	v := open(t).signIn("ann", true)
	own, token := v.host, v.token()
	if w := v.send("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("its own: %d", w.Code)
	}
	v.host = strings.ToUpper(own)
	if w := v.send("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("its own, in capitals: %d", w.Code)
	}
	link := v.link("bob", false)
	if len(v.name()) < len("bottled-.localhost")+26 || v.host == own {
		t.Errorf("hosts %s and %s", own, v.host)
	}
	for _, host := range []string{v.host, unsigned} {
		v.host = host
		if w := v.send("GET", "/", nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), own) {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
		if w := v.send("POST", "/logout", url.Values{"token": {token}}); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
	was := v.cookie
	if w := v.send("POST", link, nil); w.Code != http.StatusForbidden || v.cookie != was {
		t.Errorf("a link at another host: %d", w.Code)
	}
}

// changes are all requests that change something.
func changes(token string) map[string]url.Values {
	return map[string]url.Values{
		"/proposals/20261127t1-abc":    {"token": {token}, "decision": {"approve"}, "digest": {"d1"}},
		"/bottles/dev/orders/cut":      {"token": {token}, "confirmed": {"yes"}},
		"/bottles/dev/orders/restart":  {"token": {token}, "confirmed": {"yes"}},
		"/bottles/dev/allow":           {"token": {token}, "host": {"a.example:443"}},
		"/bottles/dev/allow?more=else": {"token": {token}, "host": {"a.example:443"}, "for": {"hour"}},
	}
}

// steered makes what is changed a text.
func (v *visitor) steered() *[]string {
	var all []string
	v.source.SetProposals(review(nil))
	v.source.OnDecide = func(by, id string, d reconciler.DecisionRequest) error {
		all = append(all, fmt.Sprintf("%s decides %s %t %s %s %q", by, id, d.Approve, d.Digest, d.For, d.Notes))
		return nil
	}
	v.source.OnAllow = func(by, bottle string, r reconciler.AllowRequest) (string, error) {
		all = append(all, fmt.Sprintf("%s allows %s %s %s", by, bottle, r.Host, r.For))
		return "id", nil
	}
	return &all
}

// TestForeignSites: no other site changes or reads anything, nor shows the page in a frame, nor reaches it by another name.
func TestForeignSites(t *testing.T) {
	v := open(t).signIn("ann", false)
	done := v.steered()
	token := v.token()
	origin := func(name, value string) http.Header { return http.Header{name: {value}} }
	host := v.host
	for name, header := range map[string]http.Header{
		"another site": origin("Origin", "http://evil.example"), "an agent's port": origin("Origin", "http://127.0.0.1:3000"), "localhost": origin("Origin", "http://localhost:9300"),
		"https": origin("Origin", "https://"+host), "another port": origin("Origin", "http://"+v.name()+":3000"), "below it": origin("Origin", "http://x."+host), "hidden": origin("Origin", "null"),
		"nobody says": {}, "same site": origin("Sec-Fetch-Site", "same-site"), "typed in": origin("Sec-Fetch-Site", "none"),
	} {
		v.header = header
		for path, form := range changes(token) {
			if w := v.send("POST", path, form); w.Code != http.StatusForbidden {
				t.Errorf("%s: %s: %d", name, path, w.Code)
			}
		}
		guest := &visitor{t: t, page: v.page, header: header}
		link := guest.link("eve", false)
		if w := guest.send("POST", link, nil); w.Code != http.StatusForbidden || guest.cookie != "" {
			t.Errorf("%s: a session is opened: %d", name, w.Code)
		}
		guest.header = nil
		if w := guest.send("POST", link, nil); w.Code != http.StatusSeeOther {
			t.Errorf("%s: has used the link up: %d", name, w.Code)
		}
	}
	v.header = nil
	for _, wrong := range []string{"", "x", token[:10], open(t).signIn("bob", false).token()} {
		for path, form := range changes(wrong) {
			if w := v.send("POST", path, form); w.Code != http.StatusForbidden {
				t.Errorf("token %q: %s: %d", wrong, path, w.Code)
			}
		}
	}
	for path, form := range changes(token) { // a link on another site
		if w := v.send("GET", path+"?"+form.Encode(), nil); w.Code == http.StatusSeeOther {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	for _, name := range []string{"127.0.0.1:9300", "localhost:9300", "evil.example", "evil.example:9300", "x." + host, "[::1]:9300", "", "bottled.localhost:9300", "bottled-x.localhost.evil.example", v.name() + "."} {
		v.host = name
		if w := v.send("GET", "/assets/page.js", nil); w.Code != http.StatusForbidden {
			t.Errorf("host %q: %d", name, w.Code)
		}
	}
	v.host = host
	if len(*done) > 0 || len(v.source.Orders()) > 0 {
		t.Errorf("done: %q, %q", *done, v.source.Orders())
	}
	h := v.send("GET", "/", nil).Header()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestChanges: what the page itself sends is done, by the one who asked for the link.
func TestChanges(t *testing.T) {
	v := open(t).signIn("ann", false)
	done := v.steered()
	for _, form := range []url.Values{
		{"decision": {"approve"}, "digest": {"d1"}, "note": {" fine\r\nthen "}},
		{"decision": {"approve-hour"}, "digest": {"d1"}},
		{"decision": {"reject"}, "note": {"no"}},
		{"decision": {"reject"}},
		{"decision": {"approve"}},
		{"decision": {"else"}},
		{},
	} {
		form.Set("token", v.token())
		want := http.StatusSeeOther
		if form.Get("decision") != "approve-hour" && form.Get("note") == "" {
			want = http.StatusBadRequest
		}
		if w := v.send("POST", "/proposals/20261127t1-abc", form); w.Code != want {
			t.Errorf("%v: %d %s", form, w.Code, w.Body)
		}
	}
	edited := ""
	decide := v.source.OnDecide
	v.source.OnDecide = func(by, id string, d reconciler.DecisionRequest) error {
		edited = *d.Edited
		return decide(by, id, d)
	}
	v.send("POST", "/proposals/20261127t1-abc", url.Values{"token": {v.token()}, "decision": {"edit"}, "digest": {"d1"}, "edited": {"a: 1\r\nb: 2\r\n"}, "line-ends": {"crlf"}})
	if edited != "a: 1\r\nb: 2\r\n" {
		t.Errorf("%q", edited)
	}
	v.send("POST", "/proposals/20261127t1-abc", url.Values{"token": {v.token()}, "decision": {"edit"}, "digest": {"d1"}, "edited": {"a: 1\r\n"}})
	if edited != "a: 1\n" {
		t.Errorf("%q", edited)
	}
	want := []string{
		`ann decides 20261127t1-abc true d1 0s "fine\nthen"`, `ann decides 20261127t1-abc true d1 1h0m0s ""`, `ann decides 20261127t1-abc false  0s "no"`,
		`ann decides 20261127t1-abc true d1 0s ""`, `ann decides 20261127t1-abc true d1 0s ""`,
	}
	if strings.Join(*done, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", *done)
	}
	if w := v.send("POST", "/bottles/dev/orders/cut", url.Values{"token": {v.token()}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "loses its way out") || len(v.source.Orders()) > 0 {
		t.Errorf("not asked: %d %s", w.Code, w.Body)
	}
	if w := v.send("POST", "/bottles/dev/orders/cut", url.Values{"token": {v.token()}, "confirmed": {"yes"}}); w.Code != http.StatusSeeOther || fmt.Sprint(v.source.Orders()) != "[cut dev]" {
		t.Errorf("%d, %q", w.Code, v.source.Orders())
	}
	if w := v.send("POST", "/proposals/other", url.Values{"token": {v.token()}, "decision": {"reject"}, "note": {"x"}}); w.Code != http.StatusNotFound {
		t.Errorf("an unknown proposal: %d", w.Code)
	}
}

// TestReadOnly: a session for reading has no forms that change anything, and may not send them either.
func TestReadOnly(t *testing.T) {
	v := open(t).signIn("ann", true)
	done := v.steered()
	v.source.Traffics = map[string]reconciler.BottleTraffic{"dev": {Hosts: []reconciler.HostTraffic{{Host: "evil.example", Port: 443, Denied: 1, Codes: map[string]uint64{"host_not_allowed": 1}}}}}
	for _, path := range []string{"/", "/bottles/dev", "/proposals/20261127t1-abc", "/proposals/20261127t1-abc?edit=1"} {
		w := v.send("GET", path, nil)
		if main := strings.ReplaceAll(w.Body.String(), `action="/logout"`, ""); w.Code != http.StatusOK || strings.Contains(main, `<form method="post" action`) {
			t.Errorf("%s: %d %s", path, w.Code, main)
		}
	}
	for path, form := range changes(v.token()) {
		if w := v.send("POST", path, form); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if len(*done) > 0 || len(v.source.Orders()) > 0 {
		t.Errorf("done: %q, %q", *done, v.source.Orders())
	}
}

const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x1b[2J{{.Session.Token}}javascript:alert(3)\n</pre>"

// TestHostileTexts: whatever an agent or a sidecar wrote is text.
func TestHostileTexts(t *testing.T) {
	v := open(t)
	status := apitest.Status(apitest.Bottle("dev", "Failed", hostile, apitest.Component(state.Agent, hostile, 0)))
	b := &status.Bottles[0]
	b.Labels = map[string]string{"team": hostile}
	b.Warnings = []string{hostile}
	b.Components[0].Cause, b.Components[0].Image = hostile, hostile
	b.Conditions = []reconciler.Condition{{Type: "Stalled", Status: "True", Reason: hostile, Message: hostile}}
	status.Controller.Problems, status.Controller.SourceError = []string{hostile}, hostile
	v.source.Set(status)
	v.source.Record(reconciler.Event{ID: 7, Bottle: "dev", Type: "Warning", Reason: hostile, Message: hostile, Component: hostile})
	v.source.SetProposals(review(func(r *reconciler.Review) {
		r.Summary, r.Justification, r.Payload, r.File, r.Diff, r.Blocked = hostile, hostile, hostile, hostile, "+"+hostile, hostile
		r.Plan, r.Warnings, r.Dangers, r.Edited, r.Patch, r.Message = []string{hostile}, []string{hostile}, []string{hostile}, hostile, hostile, hostile
		r.Refused = []reconciler.RefusedRequest{{Component: hostile, Request: hostile, Reason: hostile, Count: 2}}
	}))
	v.source.Traffics = map[string]reconciler.BottleTraffic{"dev": {
		Hosts:  []reconciler.HostTraffic{{Host: hostile, Port: 443, Denied: 1, Codes: map[string]uint64{"host_not_allowed": 1, hostile: 1}}},
		Routes: []reconciler.RouteTraffic{{Route: hostile, Upstream: hostile, Statuses: map[string]uint64{hostile: 1}}},
	}}
	v.page.Details = &details{
		description: service.Description{Manifest: hostile, Warnings: []string{hostile}, Spec: v1alpha1.Spec{Egress: v1alpha1.Egress{Allowlist: v1alpha1.Allow(hostile)}}}, lines: []string{hostile},
	}
	v.signIn(hostile, false)
	paths := []string{"/", "/?label=team&filter=" + url.QueryEscape(hostile), "/bottles/dev", "/proposals/20261127t1-abc", "/proposals/20261127t1-abc?edit=1", "/proposals/" + url.PathEscape(hostile), "/bottles/" + url.PathEscape(hostile)}
	for _, path := range paths {
		w := v.send("GET", path, nil)
		text := w.Body.String()
		for _, bad := range []string{"<script>a", "<img", "\u202e", "\x1b", "onerror=alert(2)>", "</pre>\n</pre>"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		if n := strings.Count(text, v.token()); n != strings.Count(text, `name="token" value="`+v.token()) {
			t.Errorf("%s has the token where no form has it", path)
		}
		if strings.Contains(text, `href="javascript`) || strings.Contains(text, "ZgotmplZ") {
			t.Errorf("%s has a link of an agent", path)
		}
	}
	w := v.send("GET", "/bottles/dev/logs?component=agent", nil)
	if text := w.Body.String(); w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "<script>") {
		t.Errorf("%v %q", w.Header(), text)
	}
}

// TestOversizedForm is refused, and not read to its end.
func TestOversizedForm(t *testing.T) {
	v := open(t).signIn("ann", false)
	done := v.steered()
	if w := v.send("POST", "/proposals/20261127t1-abc", url.Values{"token": {v.token()}, "decision": {"reject"}, "note": {strings.Repeat("a", maxForm)}}); w.Code != http.StatusBadRequest || len(*done) > 0 {
		t.Errorf("%d, %q", w.Code, *done)
	}
}

// TestAssets: the page's own files, and no others.
func TestAssets(t *testing.T) {
	v := open(t)
	for path, code := range map[string]int{"/assets/page.css": 200, "/assets/page.js": 200, "/assets/icon.svg": 200, "/assets/index.html": 404, "/assets/..%2fpage.go": 404, "/assets/": 404} {
		if w := v.send("GET", path, nil); w.Code != code {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, name := range []string{"index", "bottle", "proposal", "notice", "frame", "pieces"} { // nothing that the policy would refuse
		text, err := files.ReadFile("assets/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"style=", "onclick", "<style", "javascript:", "http://", "https://"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s.html has %q", name, bad)
			}
		}
	}
}
