package screen

import (
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// fleet is the first view: what agents ask for, above all bottles. One selection goes through both.
type fleet struct {
	window
	view     overview.View
	selected string // the entry's id: what changes around it leaves it selected
	inbox    int    // the first proposal shown
}

// entry is something that can be selected: a proposal or a bottle.
type entry struct {
	id       string
	proposal *reconciler.Proposal // nil for a bottle
	row      overview.Row
	group    int // of the bottle
}

// entries are the proposals, then the bottles in their groups.
func (f *fleet) entries(m *Model) (all []entry, groups []overview.Group) {
	for _, p := range m.snapshot.Inbox() {
		all = append(all, entry{id: "proposal " + p.ID, proposal: &p})
	}
	groups = m.snapshot.Fleet(f.view)
	for i, g := range groups {
		for _, r := range g.Rows {
			all = append(all, entry{id: "bottle " + r.Bottle, row: r, group: i})
		}
	}
	return all, groups
}

// find moves the selection to where its entry is now. An entry that is gone leaves it where it was.
func (f *fleet) find(all []entry) {
	if i := slices.IndexFunc(all, func(e entry) bool { return e.id == f.selected }); i >= 0 {
		f.at = i
	}
	f.at = max(0, min(f.at, len(all)-1))
	f.selected = ""
	if len(all) > 0 {
		f.selected = all[f.at].id
	}
}

// begin folds, at the first status, what needs no attention, if there is no room for all.
func (f *fleet) begin(m *Model, first bool) {
	if first {
		f.view.Fold = m.height > 0 && len(m.snapshot.Status.Bottles) > m.height-6
	}
}

// current is the selected entry; nil where there is none.
func (f *fleet) current(m *Model) *entry {
	all, _ := f.entries(m)
	f.find(all)
	if len(all) == 0 {
		return nil
	}
	return &all[f.at]
}

// lines draws the view in a height.
func (f *fleet) lines(m *Model, height int) []line {
	all, groups := f.entries(m)
	f.find(all)
	asked := slices.IndexFunc(all, func(e entry) bool { return e.proposal == nil })
	if asked < 0 {
		asked = len(all)
	}
	lines := f.inboxLines(m, all[:asked], height)
	switch {
	case !m.known:
		return append(lines, text(dim, "connecting …"))
	case len(m.snapshot.Status.Bottles) == 0:
		return append(lines, text(plain, "no bottles: bottled init writes a first manifest, bottled reconcile DIR starts the controller"))
	}
	if f.at < asked || len(all) == 0 || all[f.at].row.Message == "" {
		return append(lines, f.bottleLines(m, all[asked:], groups, f.at-asked, height-len(lines))...)
	}
	lines = append(lines, f.bottleLines(m, all[asked:], groups, f.at-asked, height-len(lines)-1)...)
	for len(lines) < height-1 {
		lines = append(lines, line{})
	}
	return append(lines, text(toneLook(all[f.at].row.Tone), all[f.at].row.Bottle+": "+all[f.at].row.Message))
}

// inboxLines are what agents ask for: at most a third of the height, and around the selected one.
func (f *fleet) inboxLines(m *Model, asked []entry, height int) []line {
	if len(asked) == 0 {
		return nil
	}
	waiting := 0
	var all []reconciler.Proposal
	for _, e := range asked {
		all = append(all, *e.proposal)
		if e.proposal.State == reconciler.ProposalWaiting {
			waiting++
		}
	}
	n := min(len(asked), max(1, height/3-2))
	w := window{at: f.at, top: f.inbox}
	if f.at >= len(asked) {
		w.at = f.inbox
	}
	w.follow(len(asked), n)
	f.inbox = w.top
	title := fmt.Sprintf("INBOX  %s for a decision", waits(waiting))
	if len(asked) > n {
		title += fmt.Sprintf("  (%d to %d of %d)", w.top+1, w.top+n, len(asked))
	}
	lines := []line{text(strong, title)}
	short := report.ShortIDs(all)
	for i := w.top; i < w.top+n; i++ {
		lines = append(lines, m.proposalLine(*asked[i].proposal, short, i == f.at))
	}
	return append(lines, line{})
}

func waits(n int) string {
	if n == 1 {
		return "1 waits"
	}
	return fmt.Sprintf("%d wait", n)
}

// proposalLine is a proposal. The agent's words are the last, behind a bar.
func (m *Model) proposalLine(p reconciler.Proposal, short map[string]string, selected bool) line {
	look, state := warning, ""
	if p.State != reconciler.ProposalWaiting {
		look, state = busy, string(p.State)+": "+report.Flat(p.Message)+"  "
	} else if p.Message != "" {
		look, state = bad, report.Flat(p.Message)+"  "
	}
	return line{selected: selected, spans: []span{
		{marker(selected), plain},
		{right(report.Age(p.Asked, m.now()), 4) + "  ", look},
		{fit(short[p.ID], 8) + "  " + fit(p.Bottle, 14) + "  ", plain},
		{fit(report.Flat(p.Summary), min(42, max(20, m.width/3))) + "  ", strong},
		{state, look},
		{"| " + report.Short(report.Flat(p.Justification)), dim},
	}}
}

func marker(selected bool) string {
	if selected {
		return "▸ "
	}
	return "  "
}

// bottleLines are the bottles as a table, with a line above each group and one for what is folded.
func (f *fleet) bottleLines(m *Model, all []entry, groups []overview.Group, at, height int) []line {
	rows := make([]overview.Row, len(all))
	for i, e := range all {
		rows[i] = e.row
	}
	t := newTable(rows, m.width, m.now(), f.view.Order)
	var lines []line
	selected, n := 0, 0
	for _, g := range groups {
		if f.view.Label != "" {
			lines = append(lines, text(strong, groupTitle(f.view.Label, g)))
		}
		for _, r := range g.Rows {
			if n == at {
				selected = len(lines)
			}
			lines = append(lines, t.row(r, n == at))
			n++
		}
		if g.Folded > 0 {
			lines = append(lines, text(dim, fmt.Sprintf("    … %s, without need of attention: f shows them", report.Count(g.Folded, "more bottle"))))
		}
	}
	if len(lines) == 0 {
		lines = []line{text(dim, "    no bottle has this: / changes the filter, esc drops it")}
	}
	switch at { // what stands above the first and below the last is shown with them
	case 0:
		selected = 0
	case n - 1:
		selected = len(lines) - 1
	}
	w := window{at: selected, top: f.top}
	w.follow(len(lines), height-1)
	f.top = w.top
	return append([]line{t.title()}, lines[w.top:min(len(lines), w.top+max(0, height-1))]...)
}

func groupTitle(label string, g overview.Group) string {
	if g.Value == "" {
		return fmt.Sprintf("%s: none (%s)", label, report.Count(g.All, "bottle"))
	}
	return fmt.Sprintf("%s=%s (%s)", label, g.Value, report.Count(g.All, "bottle"))
}

// fleetKeys are those at the bottom.
func (m *Model) fleetKeys() []key {
	keys := []key{{"enter", "open"}, {"/", "filter"}, {"f", "fold"}, {"o", "order: " + string(m.fleet.order())}, {"L", "group"}, {"S", "suspend"}, {"U", "resume"}, {"R", "restart"}, {"X", "cut"}, {"s", "session"}, {"q", "leave"}}
	if e := m.fleet.current(m); e != nil && e.proposal != nil {
		keys = []key{{"enter", "review"}, {"a", "approve"}, {"h", "for 1 h"}, {"e", "edit"}, {"r", "reject"}, {"tab", "bottles"}, {"q", "leave"}}
	}
	if m.fleet.view.Filter != "" {
		keys = append([]key{{"/" + m.fleet.view.Filter, ""}, {"esc", "no filter"}}, keys...)
	}
	return keys
}

func (f *fleet) order() overview.Order {
	if f.view.Order == "" {
		return overview.ByAttention
	}
	return f.view.Order
}

// pressFleet takes a key of the first view.
func (m *Model) pressFleet(k string) tea.Cmd {
	f := &m.fleet
	all, _ := f.entries(m)
	f.find(all)
	if f.move(k, len(all), max(1, m.height/2)) {
		f.selected = ""
		f.find(all)
		return nil
	}
	switch k {
	case "q":
		return tea.Quit
	case "/":
		m.askFilter()
	case "esc":
		f.view.Filter = ""
	case "f":
		f.view.Fold = !f.view.Fold
	case "o":
		f.view.Order = next(overview.Orders(), f.order())
	case "L":
		f.view.Label = next(append([]string{""}, m.snapshot.Labels()...), f.view.Label)
	case "tab", "shift+tab":
		f.skip(all)
	default:
		if len(all) > 0 {
			return m.pressEntry(k, all[f.at])
		}
	}
	return nil
}

// pressEntry takes a key that is about what is selected.
func (m *Model) pressEntry(k string, e entry) tea.Cmd {
	if e.proposal == nil {
		if k == "enter" {
			return m.openBottle(e.row.Bottle)
		}
		return m.pressSwitch(k, e.row.Bottle)
	}
	switch k {
	case "enter", "a", "h", "e", "r": // what is decided about was seen before
		return m.openReview(e.proposal.ID, k)
	}
	return nil
}

// skip selects the first bottle where a proposal is, and the other way round.
func (f *fleet) skip(all []entry) {
	if len(all) == 0 {
		return
	}
	is := all[f.at].proposal != nil
	if i := slices.IndexFunc(all, func(e entry) bool { return (e.proposal != nil) != is }); i >= 0 {
		f.selected = all[i].id
	}
}

// next is the one behind v, or the first one.
func next[T comparable](all []T, v T) T { return all[(slices.Index(all, v)+1)%len(all)] }

// askFilter filters while somebody types.
func (m *Model) askFilter() {
	before := m.fleet.view.Filter
	d := m.ask("/", before)
	d.changed = func(value string) { m.fleet.view.Filter = value }
	d.cancelled = func() { m.fleet.view.Filter = before }
}
