package page

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// piece is a part of a page that changes by itself: an element with an id.
type piece struct {
	ID       string
	Template string
	Data     any // compared with reflect.DeepEqual
}

// list is an element whose children are pieces.
type list struct {
	ID     string
	Pieces []piece
}

// printableLines makes a text of several lines printable, and keeps its lines.
func printableLines(text string) string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		all = append(all, strings.ReplaceAll(printable.Line(strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", "        ")), `\t`, "        "))
	}
	return strings.Join(all, "\n")
}

// showable reports whether a text reads as what it is.
func showable(text string) bool {
	return printableLines(text) == strings.TrimRight(strings.NewReplacer("\r\n", "\n", "\t", "        ").Replace(text), "\n")
}

// diffLine is a line of a diff.
type diffLine struct{ Class, Text string }

func diffLines(diff string) []diffLine {
	var all []diffLine
	for line := range strings.SplitSeq(printableLines(diff), "\n") {
		class := "same"
		switch {
		case strings.HasPrefix(line, "+"):
			class = "add"
		case strings.HasPrefix(line, "-"):
			class = "del"
		case strings.HasPrefix(line, "@"):
			class = "at"
		}
		all = append(all, diffLine{class, line})
	}
	return all
}

func humanBytes(n int64) string { return units.BytesSize(float64(n)) }

func humanCount(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	return units.CustomSize("%.3g%s", float64(n), 1000, []string{"", " k", " M", " G", " T", " P", " E"})
}

// moment is a time, which the script shows as an age.
func moment(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.Local().Format("2006-01-02 15:04:05"))) //nolint:gosec // digits and punctuation
}

// symbol stands for a tone beside the words that say the same.
func symbol(t overview.Tone) string {
	return map[overview.Tone]string{overview.Good: "●", overview.Busy: "◐", overview.Warning: "▲", overview.Bad: "✖", overview.Idle: "○"}[t]
}

// elementID makes an id of a name that may have any characters.
func elementID(prefix, name string) string {
	return prefix + "-" + strings.ReplaceAll(url.QueryEscape(name), "%", "_")
}

// rowView is a row of the fleet as it is shown.
type rowView struct {
	ID string
	overview.Row
	CPUText, MemoryText, RequestsText, DeniedText, RejectionText string
}

func viewOf(r overview.Row) rowView {
	v := rowView{ID: elementID("b", r.Bottle), Row: r, CPUText: "–", MemoryText: "–", RequestsText: "–", DeniedText: "–"}
	if r.Measured {
		v.CPUText, v.MemoryText = fmt.Sprintf("%.0f %%", 100*r.CPU), humanBytes(r.Memory)
		v.RequestsText, v.DeniedText = humanCount(r.Requests), humanCount(r.Denied)
		if r.MemoryLimit > 0 {
			v.MemoryText += " / " + humanBytes(r.MemoryLimit)
		}
	}
	if x := r.Rejection; x != nil {
		v.RejectionText = x.Status + " " + cmp.Or(x.Upstream, x.Route)
	}
	// What is shown is compared, and nothing else.
	v.CPU, v.Memory, v.MemoryLimit, v.Requests, v.Denied, v.Rejection = 0, 0, 0, 0, 0, nil
	return v
}

// foldAbove is the size of a fleet that is shown whole.
const foldAbove = 12

// indexQuery is how somebody looks at the fleet.
type indexQuery struct {
	overview.View
	All bool // also those that are well
}

func indexQueryOf(q url.Values) indexQuery {
	v := indexQuery{All: q.Get("all") != "", View: overview.View{Filter: q.Get("filter"), Order: overview.Order(q.Get("order")), Label: q.Get("label")}}
	if !slices.Contains(overview.Orders(), v.Order) {
		v.Order = overview.ByAttention
	}
	return v
}

// encode is the query as an address has it.
func (q indexQuery) encode() string {
	values := url.Values{}
	for name, value := range map[string]string{"filter": q.Filter, "order": string(q.Order), "label": q.Label} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.All {
		values.Set("all", "1")
	}
	return values.Encode()
}

// card is a proposal as the inbox and its own page show it.
type card struct {
	ID       string // of the element
	Review   reconciler.Review
	State    string
	Reviewed bool // the review could be made
	Problem  string
	Heading  int // level
	Token    string
	ReadOnly bool
	CRLF     bool
	Editing  bool
}

func (c card) Waits() bool { return c.Review.State == reconciler.ProposalWaiting }

func (c card) Decides() bool { return c.Waits() && !c.ReadOnly && c.Reviewed }

func (c card) Limitable() bool { return c.Review.Tool == "pipelock-block" }

func (c card) NeedsSecret() bool { return c.Review.Tool == "secret-request" }

// indexView is the first page.
type indexView struct {
	frame
	Lists  map[string]template.HTML
	Query  indexQuery
	Orders []overview.Order
	Labels []string
}

func (p *Page) snapshot(a reconciler.Activity) overview.Snapshot {
	return overview.Snapshot{Status: p.Controller.Status(), Proposals: p.Controller.Proposals(), Activity: a}
}

func (p *Page) index(w http.ResponseWriter, r *http.Request, s *Session) {
	q := indexQueryOf(r.URL.Query())
	now := p.snapshot(reconciler.Activity{})
	lists, err := p.rendered(p.indexLists(r.Context(), now, q, s))
	if err != nil {
		p.fail(w, http.StatusInternalServerError, s, "The page can't be shown", err.Error())
		return
	}
	p.show(w, http.StatusOK, "index.html", indexView{
		frame: frame{Title: "bottled", Session: s, Live: "/live?page=index&" + q.encode()}, Lists: lists, Query: q, Orders: overview.Orders(), Labels: now.Labels(),
	})
}

// rendered renders lists.
func (p *Page) rendered(lists []list) (map[string]template.HTML, error) {
	all := map[string]template.HTML{}
	for _, l := range lists {
		var text strings.Builder
		for _, one := range l.Pieces {
			if err := templates.ExecuteTemplate(&text, one.Template, one.Data); err != nil {
				return nil, err
			}
		}
		all[l.ID] = template.HTML(text.String()) //nolint:gosec // html/template has made it
	}
	return all, nil
}

// troubles are what is wrong with the controller, and the sum of the fleet.
func troubles(s overview.Snapshot) []piece {
	var all []piece
	add := func(text string, bad bool) {
		all = append(all, piece{"trouble-" + strconv.Itoa(len(all)), "trouble", struct {
			ID, Text string
			Bad      bool
		}{"trouble-" + strconv.Itoa(len(all)), text, bad}})
	}
	if c := s.Status.Controller; c != nil {
		for _, t := range report.Troubles(c, time.Now().Truncate(time.Minute)) {
			add(t, true)
		}
		if len(c.Held) > 0 {
			add("kept, though not declared: "+strings.Join(c.Held, ", "), true)
		}
		for _, w := range c.Warnings {
			add(w, false)
		}
	}
	return all
}

// groupView is the heading of a group of the fleet, or what stands for the rows that are left out.
type groupView struct {
	ID, Text string
	Heading  bool
}

// fleet returns the rows of the fleet with the headings between them.
func fleet(s overview.Snapshot, q indexQuery) []piece {
	var all []piece
	q.Fold = !q.All && len(s.Status.Bottles) > foldAbove
	groups := s.Fleet(q.View)
	for _, g := range groups {
		name := cmp.Or(g.Value, "without "+q.Label)
		if q.Label != "" {
			id := elementID("g", g.Value)
			all = append(all, piece{id, "group", groupView{id, fmt.Sprintf("%s (%d)", name, g.All), true}})
		}
		for _, r := range g.Rows {
			v := viewOf(r)
			all = append(all, piece{v.ID, "row", v})
		}
		if g.Folded > 0 {
			id := elementID("f", g.Value)
			all = append(all, piece{id, "group", groupView{id, fmt.Sprintf("%s well and not shown", report.Count(g.Folded, "bottle")), false}})
		}
	}
	if len(groups) == 0 {
		all = append(all, piece{"f-none", "group", groupView{"f-none", "no bottles", false}})
	}
	return all
}
