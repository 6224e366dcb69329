package screen

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
)

// column is a column of the table of bottles.
type column struct {
	title string
	of    func(r overview.Row, now time.Time) (string, look)
	most  int // cells
	drop  int // columns with greater numbers are left out first where there is no room
	right bool
}

// stateOf is a bottle's condition, and whether somebody has cut it off.
func stateOf(r overview.Row) string {
	if r.Cut {
		return r.Condition + ", cut off"
	}
	return r.Condition
}

const unmeasured = "–"

// columns are all columns but the last, the message, which has the rest of the width.
var columns = []column{
	{title: "BOTTLE", most: 28, of: func(r overview.Row, _ time.Time) (string, look) { return r.Bottle, strong }},
	{title: "STATE", most: 28, of: func(r overview.Row, _ time.Time) (string, look) { return stateOf(r), toneLook(r.Tone) }},
	{title: "SINCE", most: 5, right: true, of: func(r overview.Row, now time.Time) (string, look) { return report.Age(r.Since, now), dim }},
	{title: "ASKS", most: 4, right: true, drop: 1, of: func(r overview.Row, _ time.Time) (string, look) { return positive(uint64(r.Waiting)), warning }},
	{title: "AGENT", most: 24, drop: 2, of: func(r overview.Row, now time.Time) (string, look) {
		if r.RetryAt.After(now) {
			return r.Agent + ", retry " + report.Age(now, r.RetryAt), bad
		}
		return r.Agent, plain
	}},
	{title: "DENY/M", most: 6, right: true, drop: 4, of: counted(func(r overview.Row) (string, look) { return positive(r.Denied), warning })},
	{title: "CPU", most: 5, right: true, drop: 5, of: measured(func(r overview.Row) (string, look) { return fmt.Sprintf("%.2f", r.CPU), plain })},
	{title: "MEMORY", most: 13, right: true, drop: 6, of: measured(func(r overview.Row) (string, look) { return memory(r), plain })},
	{title: "REQ/M", most: 6, right: true, drop: 7, of: counted(func(r overview.Row) (string, look) { return fmt.Sprint(r.Requests), plain })},
	{title: "REJECTED", most: 9, drop: 8, of: func(r overview.Row, now time.Time) (string, look) {
		if r.Rejection == nil {
			return "", plain
		}
		return r.Rejection.Status + " " + report.Age(r.Rejection.Time, now), warning
	}},
	{title: "HOST FOR", most: 8, right: true, drop: 9, of: func(r overview.Row, now time.Time) (string, look) {
		if !r.HostsUntil.After(now) {
			return "", plain
		}
		return report.Age(now, r.HostsUntil), plain
	}},
}

// measured is a column of what is not always measured, counted one of what is not always counted.
func measured(of func(overview.Row) (string, look)) func(overview.Row, time.Time) (string, look) {
	return known(func(r overview.Row) bool { return r.Measured }, of)
}

func counted(of func(overview.Row) (string, look)) func(overview.Row, time.Time) (string, look) {
	return known(func(r overview.Row) bool { return r.Counted }, of)
}

func known(is func(overview.Row) bool, of func(overview.Row) (string, look)) func(overview.Row, time.Time) (string, look) {
	return func(r overview.Row, _ time.Time) (string, look) {
		if !is(r) {
			return unmeasured, dim
		}
		return of(r)
	}
}

// positive is a number that is shown only where there is one.
func positive(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func memory(r overview.Row) string {
	used := size(r.Memory)
	if r.MemoryLimit > 0 {
		used += "/" + size(r.MemoryLimit)
	}
	return used
}

// size is a number of bytes, in few cells.
func size(n int64) string {
	return units.CustomSize("%.3g%s", float64(n), 1024, []string{"B", "K", "M", "G", "T", "P"})
}

// roomForMessages is what columns are left out for, in cells of a width.
func roomForMessages(cells int) int { return max(14, cells/6) }

// sortedBy are the columns by which the orders sort.
var sortedBy = map[overview.Order]string{
	overview.ByName: "BOTTLE", overview.ByCPU: "CPU", overview.ByMemory: "MEMORY", overview.ByRequests: "REQ/M", overview.ByDenied: "DENY/M", overview.BySince: "SINCE",
}

// table is the table of bottles: the columns that there is room for.
type table struct {
	now     time.Time
	columns []column
	widths  []int
	sorted  string // the title of the column that it is sorted by
	message int    // cells; 0 for none
}

// lead is what stands before the first column: the selection's marker and the tone's.
const lead = 4

func newTable(rows []overview.Row, cells int, now time.Time, order overview.Order) table {
	t := table{now: now, sorted: sortedBy[order]}
	all, messages := 0, false
	for _, c := range columns {
		w, filled := width(c.title), c.drop == 0
		for _, r := range rows {
			s, _ := c.of(r, now)
			filled = filled || s != ""
			w = max(w, min(width(s), c.most))
		}
		if filled {
			t.columns, t.widths, all = append(t.columns, c), append(t.widths, w), all+w+2
		}
	}
	for _, r := range rows {
		messages = messages || r.Message != ""
	}
	least := 0
	if messages {
		least = roomForMessages(cells)
	}
	for lead+all+least > cells {
		last := 0
		for i, c := range t.columns {
			if c.drop > t.columns[last].drop {
				last = i
			}
		}
		if t.columns[last].drop == 0 {
			break
		}
		all -= t.widths[last] + 2
		t.columns, t.widths = append(t.columns[:last:last], t.columns[last+1:]...), append(t.widths[:last:last], t.widths[last+1:]...)
	}
	if messages {
		t.message = max(0, cells-lead-all)
	}
	return t
}

func (t table) title() line {
	l := line{spans: []span{{"    ", plain}}}
	for i, c := range t.columns {
		look := dim
		if c.title == t.sorted {
			look = strong
		}
		l.spans = append(l.spans, t.cell(i, c.title, look))
	}
	return l
}

func (t table) row(r overview.Row, selected bool) line {
	l := line{selected: selected, spans: []span{{marker(selected), plain}, {toneMark(r.Tone) + " ", toneLook(r.Tone)}}}
	for i, c := range t.columns {
		s, look := c.of(r, t.now)
		l.spans = append(l.spans, t.cell(i, s, look))
	}
	if t.message > 0 {
		l.spans = append(l.spans, span{r.Message, dim})
	}
	return l
}

func (t table) cell(i int, s string, l look) span {
	if t.columns[i].right {
		return span{right(s, t.widths[i]) + "  ", l}
	}
	return span{fit(s, t.widths[i]) + "  ", l}
}
