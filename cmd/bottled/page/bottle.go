package page

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
)

const (
	maxTimeline = 50 // events
	maxHosts    = 50 // of a bottle's traffic
)

// bottleView is the page of a bottle.
type bottleView struct {
	frame
	Bottle     string
	Lists      map[string]template.HTML
	Manifest   string
	Spec       string // as YAML
	Components []string
	Warnings   []string
}

func (p *Page) bottle(w http.ResponseWriter, r *http.Request, s *Session) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	name := r.PathValue("bottle")
	found, err := p.Controller.Status().Select([]string{name})
	if err != nil {
		p.fail(w, http.StatusNotFound, s, "Not found", err.Error())
		return
	}
	d, err := p.Details.Describe(ctx, name)
	if err != nil {
		d.Warnings = append(d.Warnings, err.Error())
	}
	lists, err := p.rendered(p.bottleLists(found[0], d.Spec, reconciler.Activity{}, s))
	if err != nil {
		p.fail(w, http.StatusInternalServerError, s, "The page can't be shown", err.Error())
		return
	}
	spec, err := yaml.Marshal(d.Spec)
	if err != nil {
		d.Warnings = append(d.Warnings, err.Error())
	}
	v := bottleView{
		frame: frame{Title: name, Session: s, Live: "/live?page=bottle&bottle=" + url.QueryEscape(name)}, Bottle: name, Lists: lists,
		Manifest: d.Manifest, Spec: string(spec), Warnings: d.Warnings,
	}
	for _, c := range found[0].Components {
		v.Components = append(v.Components, string(c.Component))
	}
	if id := r.URL.Query().Get("done"); id != "" {
		v.Notice = p.noticeOf(id)
	}
	p.show(w, http.StatusOK, "bottle.html", v)
}

// switchView is a switch of a bottle.
type switchView struct {
	Bottle, Token, Name string
	Order               reconciler.Order
}

// switches are the orders that somebody can give for a bottle now.
func switches(b reconciler.BottleStatus, s *Session) []piece {
	var all []piece
	add := func(order reconciler.Order, name string) {
		all = append(all, piece{"switch-" + string(order), "switch", switchView{b.Slug, s.Token, name, order}})
	}
	suspended := b.Reason == reconciler.ReasonSuspend
	add(reconciler.OrderRestart, "Restart")
	if suspended || b.Cut {
		add(reconciler.OrderResume, "Resume")
	}
	if !suspended {
		add(reconciler.OrderSuspend, "Suspend")
	}
	if !b.Cut {
		add(reconciler.OrderCut, "Cut off")
	}
	return all
}

// noticeOf says what became of a change of a person's own.
func (p *Page) noticeOf(id string) string {
	for _, one := range p.Controller.Proposals() {
		if one.ID == id {
			return fmt.Sprintf("%s: %s. %s", one.Summary, cmp.Or(one.State, "done"), one.Message)
		}
	}
	return ""
}

// componentView is a component, declared against in force.
type componentView struct {
	ID string
	reconciler.ComponentStatus
	Tone        overview.Tone
	CPU, Memory string
}

// graphView is the picture of a bottle.
type graphView struct {
	Width, Height int
	Boxes         []box
	Lines         []arrow
	Text          string
}

type box struct {
	X, Y, TextX, TextY int
	Tone               overview.Tone
	Name, Short, Text  string
}

type arrow struct{ X1, Y1, X2, Y2 int }

const (
	boxWidth, boxHeight  = 210, 34
	columnStep, lineStep = 270, 44
	shortName            = 26 // characters that fit into a box
)

// graphOf lays the nodes of a bottle out in columns, by their levels.
func graphOf(nodes []overview.Node) graphView {
	var g graphView
	at := map[string]box{}
	rows := map[int]int{}
	var words []string
	for _, n := range nodes {
		b := box{X: 2 + n.Level*columnStep, Y: 2 + rows[n.Level]*lineStep, Tone: n.Tone, Name: n.Name, Short: n.Name, Text: n.Text}
		if r := []rune(n.Name); len(r) > shortName {
			b.Short = string(r[:shortName-1]) + "…"
		}
		b.TextX, b.TextY = b.X+12, b.Y+22
		rows[n.Level]++
		at[n.Name] = b
		g.Boxes = append(g.Boxes, b)
		g.Width, g.Height = max(g.Width, b.X+boxWidth+2), max(g.Height, b.Y+boxHeight+2)
	}
	for _, n := range nodes {
		from := at[n.Name]
		for _, to := range n.To {
			if b, found := at[to]; found {
				l := arrow{from.X + boxWidth, from.Y + boxHeight/2, b.X, b.Y + boxHeight/2}
				if b.X < from.X {
					l.X1, l.X2 = from.X, b.X+boxWidth
				}
				g.Lines = append(g.Lines, l)
			}
		}
		if len(n.To) > 0 {
			words = append(words, n.Name+" sends to "+strings.Join(n.To, ", "))
		}
	}
	g.Text = strings.Join(words, "; ")
	return g
}

// hostView is a host of a bottle's traffic.
type hostView struct {
	ID string
	reconciler.HostTraffic
	Entry     string // of the allowlist that would open it; "" where it is open, or can't be opened so
	Reasons   string
	Bottle    string
	Token     string
	Exchanged string
}

func hosts(t reconciler.BottleTraffic, bottle string, spec v1alpha1.Spec, s *Session) []piece {
	var all []piece
	for _, h := range t.Hosts[:min(len(t.Hosts), maxHosts)] {
		v := hostView{HostTraffic: h, Bottle: bottle, Token: s.Token, Exchanged: humanBytes(int64(min(h.Sent, 1<<62))) + " / " + humanBytes(int64(min(h.Received, 1<<62)))}
		v.ID = elementID("h", fmt.Sprintf("%s:%d", h.Host, h.Port))
		var reasons []string
		for code, n := range h.Codes {
			reasons = append(reasons, fmt.Sprintf("%s %s", humanCount(n), code))
		}
		slices.Sort(reasons)
		v.Reasons = strings.Join(reasons, ", ")
		if !s.ReadOnly {
			v.Entry = overview.Entry(h, spec, time.Now())
		}
		all = append(all, piece{v.ID, "host", v})
	}
	return all
}

// routeView is a route of cred-proxy.
type routeView struct {
	ID string
	reconciler.RouteTraffic
	Answers string
}

func routes(t reconciler.BottleTraffic) []piece {
	var all []piece
	for _, r := range t.Routes {
		v := routeView{ID: elementID("r", r.Route), RouteTraffic: r}
		var answers []string
		for class, n := range r.Statuses {
			answers = append(answers, fmt.Sprintf("%s %s", humanCount(n), class))
		}
		slices.Sort(answers)
		v.Answers = strings.Join(answers, ", ")
		all = append(all, piece{v.ID, "route", v})
	}
	return all
}

// bottleLists are the pieces of a bottle's page.
func (p *Page) bottleLists(b reconciler.BottleStatus, spec v1alpha1.Spec, a reconciler.Activity, s *Session) []list {
	row := viewOf(overview.Snapshot{Activity: a}.RowOf(b))
	row.ID = "state"
	all := []list{
		{"bottle-state", []piece{{"state", "state", struct {
			rowView
			Conditions []reconciler.Condition
			Warnings   []string
			Generation string
		}{row, b.Conditions, b.Warnings, generationOf(b)}}}},
		{"bottle-graph", []piece{{"graph", "graph", graphOf(overview.Graph(b, spec, time.Now().Truncate(time.Minute)))}}},
	}
	var components []piece
	for _, c := range b.Components {
		v := componentView{ID: elementID("c", string(c.Component)), ComponentStatus: c, Tone: overview.ComponentTone(b, c), CPU: "–", Memory: "–"}
		for _, used := range a.Bottles[b.Slug].Components {
			if used.Component == c.Component {
				v.CPU, v.Memory = fmt.Sprintf("%.0f %%", 100*used.CPU), humanBytes(used.Memory)
			}
		}
		components = append(components, piece{v.ID, "component", v})
	}
	events := p.Controller.Events(b.Slug, 0)
	var timeline []piece
	for _, e := range slices.Backward(events[max(0, len(events)-maxTimeline):]) {
		timeline = append(timeline, piece{fmt.Sprintf("e-%d", e.ID), "event", e})
	}
	t, err := p.Controller.Traffic(b.Slug)
	if err != nil { // it has gone meanwhile
		t = reconciler.BottleTraffic{}
	}
	return append(all, list{"switches", switches(b, s)}, list{"components", components}, list{"timeline", timeline}, list{"hosts", hosts(t, b.Slug, spec, s)}, list{"routes", routes(t)})
}

// generationOf says whether the newest declaration is in force.
func generationOf(b reconciler.BottleStatus) string {
	switch {
	case b.Generation == 0:
		return ""
	case b.Outdated():
		return fmt.Sprintf("declaration %d waits; %d is in force", b.Generation, b.ObservedGeneration)
	}
	return fmt.Sprintf("declaration %d", b.Generation)
}

// logTail is how many lines of a component's log are shown at first.
const logTail = 200

// logs shows what a component has logged: the last lines as text or, for the script, all further ones as events.
func (p *Page) logs(w http.ResponseWriter, r *http.Request, s *Session) {
	target := service.Target{Bottle: r.PathValue("bottle")}
	for _, b := range p.Controller.Status().Bottles {
		for _, c := range b.Components {
			if b.Slug == target.Bottle && string(c.Component) == r.URL.Query().Get("component") {
				target.Component = c.Component
			}
		}
	}
	if target.Component == "" {
		p.fail(w, http.StatusNotFound, s, "Not found", "The bottle has no such component.")
		return
	}
	o := service.LogsOptions{Of: []service.Target{target}, Tail: logTail, Follow: r.Header.Get("Accept") == "text/event-stream"}
	if o.Follow {
		p.stream(w, r, func(out *stream) error {
			return p.Details.Logs(r.Context(), o, func(l service.LogLine) error { return out.send("line", printableLines(string(l.Text))) })
		})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	var text strings.Builder
	err := p.Details.Logs(ctx, o, func(l service.LogLine) error {
		_, err := text.WriteString(printableLines(string(l.Text)) + "\n")
		return err
	})
	if err != nil {
		p.fail(w, codeOf(err), s, "The log can't be read", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text.String()))
}
