package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/state/printable"
)

// look is how a text is shown. No look says anything that the text does not.
type look int

const (
	plain look = iota
	dim
	strong
	good
	busy
	warning
	bad
	added
	removed
)

// span is a text in one look. It is not escaped yet.
type span struct {
	text string
	look look
}

// line is one line of the screen. theme.render is its only way there, and escapes it.
type line struct {
	spans    []span
	selected bool
}

func text(l look, s string) line { return line{spans: []span{{s, l}}} }

func spans(all ...span) line { return line{spans: all} }

// width is how many cells a text has once it is escaped.
func width(s string) int { return ansi.StringWidth(printable.Line(s)) }

// fit cuts or fills an escaped text to a number of cells.
func fit(s string, cells int) string {
	s = printable.Line(s)
	if n := ansi.StringWidth(s); n <= cells {
		return s + strings.Repeat(" ", cells-n)
	}
	return cut(s, cells)
}

// right is fit with the text at the right.
func right(s string, cells int) string {
	s = printable.Line(s)
	if n := ansi.StringWidth(s); n <= cells {
		return strings.Repeat(" ", cells-n) + s
	}
	return cut(s, cells)
}

// cut shortens a text to a number of cells, and says so.
func cut(s string, cells int) string {
	if cells < 1 {
		return ""
	}
	s = ansi.Truncate(printable.Line(s), cells, "…")
	return s + strings.Repeat(" ", max(0, cells-ansi.StringWidth(s))) // a wide character may not have fitted
}

// wrap breaks a text into lines of a number of cells, at spaces where there are any. Further lines are indented.
func wrap(s string, cells int, indent string) []string {
	s = printable.Line(s)
	if cells < len(indent)+10 || ansi.StringWidth(s) <= cells {
		return []string{s}
	}
	lead := s[:len(s)-len(strings.TrimLeft(s, " "))]
	all := strings.Split(ansi.Wrap(strings.TrimLeft(s, " "), cells-len(lead)-len(indent), " "), "\n")
	for i := range all {
		if all[i] = lead + all[i]; i > 0 {
			all[i] = indent + all[i]
		}
	}
	return all
}

// reported are lines of package report, those that may be wrapped.
func reported(of []report.Line, cells int) []line {
	var all []line
	for _, l := range of {
		texts := []string{l.Text}
		if l.Wrap || strings.HasPrefix(l.Text, bar) {
			texts = wrapReported(l.Text, cells)
		}
		for _, t := range texts {
			all = append(all, text(lookOf(l), t))
		}
	}
	return all
}

// bar begins the lines of somebody else's words: see report.Review.
const bar = "  | "

// wrapReported wraps a line. Each line of somebody else's words has a bar.
func wrapReported(s string, cells int) []string {
	words, quoted := strings.CutPrefix(s, bar)
	if !quoted {
		return wrap(s, cells, "    ")
	}
	all := wrap(words, max(cells-len(bar), 10), "")
	for i := range all {
		all[i] = bar + all[i]
	}
	return all
}

func lookOf(l report.Line) look {
	switch {
	case l.Bad:
		return bad
	case l.Sign == "+":
		return added
	case l.Sign == "-":
		return removed
	case l.Sign == "~":
		return dim
	}
	return plain
}

// toneLook is the look of a tone, and toneMark its sign: colours alone say nothing to many people and terminals.
func toneLook(t overview.Tone) look {
	return map[overview.Tone]look{overview.Good: good, overview.Busy: busy, overview.Warning: warning, overview.Bad: bad, overview.Idle: dim}[t]
}

func toneMark(t overview.Tone) string {
	return map[overview.Tone]string{overview.Good: "●", overview.Busy: "◐", overview.Warning: "▲", overview.Bad: "✖", overview.Idle: "○"}[t]
}
