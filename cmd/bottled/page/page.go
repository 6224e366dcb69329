package page

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/printable"
)

// Controller is the running controller: an api.Source.
type Controller interface {
	Status() reconciler.Status
	Events(bottle string, after uint64) []reconciler.Event
	Changed() (<-chan struct{}, func())
	Proposals() []reconciler.Proposal
	Review(ctx context.Context, id string) (reconciler.Review, error)
	Decide(ctx context.Context, by, id string, decision reconciler.DecisionRequest) error
	Order(ctx context.Context, by, bottle string, order reconciler.Order, component state.ComponentName) error
	Allow(ctx context.Context, by, bottle string, request reconciler.AllowRequest) (id string, err error)
	Look() (newest <-chan reconciler.Activity, stop func())
	Traffic(bottle string) (reconciler.BottleTraffic, error)
}

// Details are what the controller itself does not know: a service.Service.
type Details interface {
	Describe(ctx context.Context, bottle string) (service.Description, error)
	Logs(ctx context.Context, o service.LogsOptions, show func(service.LogLine) error) error
}

// Page is the page: an api.Page.
type Page struct {
	Controller Controller
	Details    Details
	Log        zerolog.Logger

	sessions sessions
	reviews  reviewCache
	streams  chan struct{} // semaphore
	mux      *http.ServeMux
}

const (
	// maxForm limits a form, in bytes: it may hold a whole file, whose characters may be escaped.
	maxForm = 4 << 20
	// answerTimeout limits how long a request may ask the engine.
	answerTimeout = 8 * time.Second
	maxStreams    = 32
)

// New returns the page of a controller.
func New(c Controller, d Details, log zerolog.Logger) *Page {
	p := &Page{Controller: c, Details: d, Log: log, streams: make(chan struct{}, maxStreams), mux: http.NewServeMux()}
	p.mux.HandleFunc("GET /assets/{name}", asset)
	p.mux.HandleFunc("GET /login/{secret}", p.login)
	p.mux.HandleFunc("POST /login/{secret}", p.redeem)
	read := func(pattern string, next func(http.ResponseWriter, *http.Request, *Session)) {
		p.mux.HandleFunc("GET "+pattern, p.reading(next))
	}
	change := func(pattern string, next func(context.Context, *http.Request, *Session) (string, error)) {
		p.mux.HandleFunc("POST "+pattern, p.changing(next))
	}
	read("/{$}", p.index)
	read("/proposals/{id}", p.proposal)
	read("/bottles/{bottle}", p.bottle)
	read("/live", p.live)
	read("/bottles/{bottle}/logs", p.logs)
	change("/proposals/{id}", p.decide)
	change("/bottles/{bottle}/orders/{order}", p.order)
	change("/bottles/{bottle}/allow", p.allow)
	p.mux.HandleFunc("POST /logout", p.changing(func(_ context.Context, r *http.Request, _ *Session) (string, error) {
		p.sessions.end(r)
		return "/", nil
	}))
	return p
}

// Link returns the host and the path that open a session of a user, once and soon.
func (p *Page) Link(user string, readOnly bool) (host, path string) {
	host, secret := p.sessions.link(user, readOnly)
	return host, "/login/" + secret
}

// policy allows the page's own files and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP answers requests to hosts of links alone: by any other name, a page of somebody else's would read this one (DNS rebinding).
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // without any, browsers hide the Origin of forms
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !isPageHost(hostOf(r)) {
		http.Error(w, "bottled's page is not served by this name: bottled web prints a link to it", http.StatusForbidden)
		return
	}
	p.mux.ServeHTTP(w, r)
}

//go:embed assets
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"line": func(v any) string { return printable.Line(report.Flat(fmt.Sprint(v))) }, "lines": printableLines, "bytes": humanBytes, "count": humanCount, "moment": moment, "symbol": symbol, "split": diffLines,
}).ParseFS(files, "assets/*.html"))

// asset serves the style and the script.
func asset(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	name := r.PathValue("name")
	if types[name] == "" {
		http.NotFound(w, r)
		return
	}
	content, err := files.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", types[name])
	_, _ = w.Write(content) //nolint:gosec // a file of the page's own
}

// show writes a page.
func (p *Page) show(w http.ResponseWriter, code int, name string, data any) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		p.Log.Error().Err(err).Msg("page")
		http.Error(w, "the page can't be shown; the controller's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(out.Bytes())
}

// frame is what all pages have.
type frame struct {
	Title   string
	Session *Session // nil for nobody's
	Live    string   // the address of the stream of changes; "" for none
	Notice  string   // what has just been done
}

// notice is a page with one message.
type notice struct {
	frame
	Heading, Text string
	// Confirm is what is asked, with the fields of the form that answers.
	Confirm string
	Fields  map[string]string
	Login   bool // the form opens a session
}

func (p *Page) fail(w http.ResponseWriter, code int, s *Session, heading, text string) {
	p.show(w, code, "notice.html", notice{frame: frame{Title: heading, Session: s}, Heading: heading, Text: text})
}

// login shows a button: a program that only looks at a link, as messengers do, does not use it up.
func (p *Page) login(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusOK, "notice.html", notice{
		frame: frame{Title: "bottled"}, Heading: "bottled", Text: "This link opens bottled's page in this browser. It works once.", Confirm: "Open", Login: true,
	})
}

// redeem opens the session.
func (p *Page) redeem(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		p.fail(w, http.StatusForbidden, nil, "Not opened", "The request comes from another site.")
		return
	}
	cookie, ok := p.sessions.redeem(hostOf(r), r.PathValue("secret"))
	if !ok {
		p.fail(w, http.StatusForbidden, nil, "This link does not work any more", "A link works once, and for two minutes. Run bottled web for another one.")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // Secure is for https; this is loopback
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// reading calls next for whoever has a session.
func (p *Page) reading(next func(http.ResponseWriter, *http.Request, *Session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := p.sessions.find(r); s != nil {
			next(w, r, s)
			return
		}
		p.fail(w, http.StatusUnauthorized, nil, "You are not signed in", "Run bottled web on the host of the controller, and open the link that it prints. A restart of the controller ends all sessions.")
	}
}

// sameOrigin reports whether a request that changes something was sent by the page itself: browsers say so, and a page can't make them say
// otherwise.
func sameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		return strings.EqualFold(origin, "http://"+r.Host)
	}
	return r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// errForm is about a form that was not filled in as it has to be.
var errForm = errors.New("not done")

// changing calls next for a form of the page itself, of a session that may change something, and then goes to the path that it returns.
func (p *Page) changing(next func(context.Context, *http.Request, *Session) (string, error)) http.HandlerFunc {
	return p.reading(func(w http.ResponseWriter, r *http.Request, s *Session) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		switch {
		case !sameOrigin(r):
			p.fail(w, http.StatusForbidden, s, "Not done", "The request comes from another site.")
			return
		case err != nil:
			p.fail(w, http.StatusBadRequest, s, "Not done", "The form can't be read.")
			return
		case !s.allows(r.PostForm.Get("token")):
			p.fail(w, http.StatusForbidden, s, "Not done", "The form is not of this session. Go back, reload the page, and try again.")
			return
		case s.ReadOnly && r.URL.Path != "/logout":
			p.fail(w, http.StatusForbidden, s, "Not done", "This session is for reading only.")
			return
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), answerTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, answerTimeout))
		defer cancel()
		to, err := next(ctx, r, s)
		var ask *confirmation
		switch {
		case errors.As(err, &ask):
			p.show(w, http.StatusOK, "notice.html", ask.notice(r, s))
		case err != nil:
			p.fail(w, codeOf(err), s, "Not done", err.Error())
		default:
			http.Redirect(w, r, to, http.StatusSeeOther)
		}
	})
}

func codeOf(err error) int {
	switch {
	case errors.Is(err, errForm):
		return http.StatusBadRequest
	case errors.Is(err, reconciler.ErrNoBottle), errors.Is(err, reconciler.ErrNoProposal):
		return http.StatusNotFound
	case errors.Is(err, reconciler.ErrOrder), errors.Is(err, reconciler.ErrDecision):
		return http.StatusConflict
	case errors.Is(err, engine.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
