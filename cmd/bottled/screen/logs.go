package screen

import (
	"slices"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
)

// minColumn is the least width of the logs side by side, in cells.
const minColumn = 48

// logLines are the components' logs: a column each where there is room, one after the other otherwise.
func (b *bottle) logLines(cells, height int) []line {
	page := &b.pages[logsTab]
	if len(b.logs) == 0 {
		return []line{text(dim, "no log lines yet")}
	}
	components := b.logging()
	if !b.beside || len(components) < 2 || cells/len(components) < minColumn {
		return page.tail(b.merged(cells), height)
	}
	each := cells/len(components) - 2
	var columns [][]line
	most := 0
	for _, c := range components {
		lines := b.columnOf(c, each)
		columns, most = append(columns, lines), max(most, len(lines))
	}
	for i := range columns { // their ends are beside each other
		columns[i] = append(make([]line, most-len(columns[i])), columns[i]...)
	}
	rows := make([]line, most)
	for row := range rows {
		for _, c := range columns {
			s := span{fit("", each) + "  ", plain}
			if len(c[row].spans) > 0 {
				s = span{fit(c[row].spans[0].text, each) + "  ", c[row].spans[0].look}
			}
			rows[row].spans = append(rows[row].spans, s)
		}
	}
	var title line
	for _, c := range components {
		title.spans = append(title.spans, span{fit(string(c), each) + "  ", strong})
	}
	return append([]line{title}, page.tail(rows, height-1)...)
}

// logging are the components that have logged something, in their order.
func (b *bottle) logging() []state.ComponentName {
	var all []state.ComponentName
	for _, l := range b.logs {
		if !slices.Contains(all, l.Component) {
			all = append(all, l.Component)
		}
	}
	slices.SortFunc(all, kinds.All.Compare)
	return all
}

// merged are the lines in the order of time, each with its component's name.
func (b *bottle) merged(cells int) []line {
	var all []line
	for _, l := range b.logs {
		r := logLine(l)
		prefix := l.At.Local().Format(time.TimeOnly) + "  " + fit(string(l.Component), 10) + "  "
		for i, t := range wrap(r.Text, max(20, cells-width(prefix)), "  ") {
			if i > 0 {
				prefix = fit("", width(prefix))
			}
			all = append(all, spans(span{prefix, dim}, span{t, lookOf(r)}))
		}
	}
	return all
}

// columnOf are the lines of one component.
func (b *bottle) columnOf(c state.ComponentName, cells int) []line {
	var all []line
	for _, l := range b.logs {
		if l.Component != c {
			continue
		}
		r := logLine(l)
		for _, t := range wrap(l.At.Local().Format(time.TimeOnly)+" "+r.Text, cells, "         ") {
			all = append(all, text(lookOf(r), t))
		}
	}
	return all
}

// logLine puts a line into words, behind a bar.
func logLine(l service.LogLine) report.Line {
	r := report.ComponentLine(kinds.All.Of(l.Component).Audited, l.Text)
	r.Text = "| " + r.Text
	return r
}
