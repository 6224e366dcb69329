package screen

import (
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
)

// maxTroubles limits the lines about what is wrong with the controller.
const maxTroubles = 2

// header is whose bottles these are, how many are how, and where all this is from.
func (m *Model) header() []line {
	c := m.snapshot.Status.Controller
	first := []span{{"bottled top", strong}}
	if m.known {
		first = append(first, m.tones()...)
	}
	if c != nil {
		first = append(first, span{"  owner " + c.Owner + "  " + c.Revision, dim})
	}
	all := []line{spans(first...)}
	if m.readOnly() {
		all = append(all, text(warning, "no controller runs: this is the engine's status, read-only"))
	}
	if m.stale != "" {
		all = append(all, text(bad, "not up to date: "+report.Flat(m.stale)))
	}
	if len(m.unread) > 0 {
		all = append(all, text(warning, "warning: "+report.Flat(strings.Join(m.unread, "; "))))
	}
	if c == nil {
		return all
	}
	troubles := report.Troubles(c, m.now())
	if len(c.Held) > 0 {
		troubles = append(troubles, fmt.Sprintf("kept, though not declared: %s (%s)", strings.Join(c.Held, ", "), c.HeldReason))
	}
	for i, t := range troubles {
		if i == maxTroubles-1 && len(troubles) > maxTroubles {
			return append(all, text(bad, fmt.Sprintf("… and %d more: bottled status", len(troubles)-i)))
		}
		all = append(all, text(bad, report.Flat(t)))
	}
	return all
}

// tones are how many bottles there are of each tone.
func (m *Model) tones() []span {
	n := map[overview.Tone]int{}
	for _, b := range m.snapshot.Status.Bottles {
		n[m.snapshot.RowOf(b).Tone]++
	}
	all := []span{{"  " + report.Count(len(m.snapshot.Status.Bottles), "bottle"), plain}}
	for _, t := range []overview.Tone{overview.Bad, overview.Warning, overview.Busy, overview.Good, overview.Idle} {
		if n[t] > 0 {
			all = append(all, span{fmt.Sprintf("  %s %d %s", toneMark(t), n[t], toneWord(t)), toneLook(t)})
		}
	}
	return all
}

func toneWord(t overview.Tone) string {
	return map[overview.Tone]string{overview.Good: "well", overview.Busy: "busy", overview.Warning: "to look at", overview.Bad: "bad", overview.Idle: "idle"}[t]
}

// footer is what is asked or the last notice, and the keys. cursor is the column of the text cursor in the last line; -1 for none.
func (m *Model) footer() (all []line, cursor int) {
	if m.dialog != nil {
		return m.dialog.lines(m.width)
	}
	if m.notice.text != "" {
		l := good
		if m.notice.bad {
			l = bad
		}
		for _, t := range wrap(m.notice.text, m.width, "  ") {
			all = append(all, text(l, t))
		}
		all = all[:min(len(all), 3)]
	}
	var keys []key
	switch {
	case m.help != nil:
		keys = []key{{"esc", "back"}}
	case m.review != nil:
		keys = m.reviewKeys()
	case m.bottle != nil:
		keys = m.bottleKeys()
	default:
		keys = m.fleetKeys()
	}
	return append(all, keyLine(keys, m.width)), -1
}
