package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// lines draws the view in a height.
func (b *bottle) lines(m *Model, height int) []line {
	status := b.status(m)
	if status == nil {
		return []line{text(bad, b.name+" is gone")}
	}
	head := []line{b.title(m, m.snapshot.RowOf(*status)), b.tabLine()}
	head = append(head, b.problemLines()...)
	height -= len(head)
	page := &b.pages[b.tab]
	switch b.tab {
	case eventsTab:
		return append(head, page.tail(b.eventLines(m), height)...)
	case logsTab:
		return append(head, b.logLines(m.width, height)...)
	case trafficTab:
		return append(head, b.trafficLines(m.now(), m.width, height)...)
	case declarationTab:
		return append(head, page.page(b.declarationLines(m, *status), height)...)
	default:
		return append(head, page.page(b.overviewLines(m, *status), height)...)
	}
}

// problemLines are why something is not known about the bottle.
func (b *bottle) problemLines() []line {
	if b.problem != nil {
		return []line{text(bad, report.OneLine(b.problem))}
	}
	if b.description == nil || len(b.description.Warnings) == 0 {
		return nil
	}
	return []line{text(warning, "warning: "+report.Flat(strings.Join(b.description.Warnings, "; ")))}
}

// title is the bottle with its state.
func (b *bottle) title(m *Model, r overview.Row) line {
	l := spans(span{toneMark(r.Tone) + " ", toneLook(r.Tone)}, span{b.name, strong}, span{"  " + stateOf(r), toneLook(r.Tone)})
	if !r.Since.IsZero() {
		l.spans = append(l.spans, span{" for " + report.Age(r.Since, m.now()), dim})
	}
	l.spans = append(l.spans, span{"  agent " + r.Agent, plain})
	if r.RetryAt.After(m.now()) {
		l.spans = append(l.spans, span{", next try in " + report.Age(m.now(), r.RetryAt), bad})
	}
	if r.Waiting > 0 {
		l.spans = append(l.spans, span{"  " + waits(r.Waiting) + " for a decision", warning})
	}
	return l
}

func (b *bottle) tabLine() line {
	var l line
	for t := range tabs {
		name := fmt.Sprintf(" %d %s ", t+1, t)
		if t == b.tab {
			l.spans = append(l.spans, span{"[" + strings.TrimSpace(name) + "]", strong})
			continue
		}
		l.spans = append(l.spans, span{name, dim})
	}
	return l
}

// overviewLines are the graph, the components with what they use, and what is to be said about the bottle.
func (b *bottle) overviewLines(m *Model, status reconciler.BottleStatus) []line {
	var all []line
	if d := b.description; d != nil {
		all = append(graphLines(overview.Graph(status, d.Spec, m.now()), m.width), line{})
	}
	all = append(all, b.componentLines(m, status)...)
	var notes []report.Line
	if status.Message != "" {
		notes = append(notes, report.Line{Text: report.Flat(status.Message), Bad: !status.Healthy(), Wrap: true})
	}
	for _, c := range status.Conditions {
		if c.Type != reconciler.ConditionReady && c.Status == "True" {
			notes = append(notes, report.Line{Text: fmt.Sprintf("%s for %s: %s", c.Type, report.Age(c.LastTransitionTime, m.now()), report.Because(c.Reason, c.Message)), Wrap: true})
		}
	}
	for _, w := range status.Warnings {
		notes = append(notes, report.Line{Text: "warning: " + report.Flat(w), Wrap: true})
	}
	if len(notes) > 0 {
		all = append(all, line{})
	}
	return append(all, reported(notes, m.width)...)
}

func (b *bottle) componentLines(m *Model, status reconciler.BottleStatus) []line {
	used := map[string]reconciler.ComponentActivity{}
	for _, c := range m.snapshot.Activity.Bottles[b.name].Components {
		used[string(c.Component)] = c
	}
	all := []line{text(dim, fmt.Sprintf("  %-16s  %-10s  %8s  %5s  %-13s  %s", "COMPONENT", "STATE", "RESTARTS", "CPU", "MEMORY", "NOT AS DECLARED"))}
	for _, c := range status.Components {
		cpu, mem := unmeasured, unmeasured
		if u, measured := used[string(c.Component)]; measured {
			cpu, mem = fmt.Sprintf("%.2f", u.CPU), memory(overview.Row{Memory: u.Memory, MemoryLimit: u.MemoryLimit})
		}
		restarts := ""
		if c.Restarts > 0 {
			restarts = fmt.Sprint(c.Restarts)
		}
		look := toneLook(overview.ComponentTone(status, c))
		all = append(all, spans(
			span{"  " + fit(string(c.Component), 16) + "  ", plain},
			span{fit(c.State, 10) + "  ", look},
			span{right(restarts, 8) + "  " + right(cpu, 5) + "  " + fit(mem, 13) + "  ", plain},
			span{report.Flat(c.Cause), look},
		))
	}
	return all
}

func (b *bottle) eventLines(m *Model) []line {
	var all []report.Line
	for _, e := range b.events {
		l := report.Event(e, m.now())
		l.Text = e.Time.Local().Format(timeOf(e.Time, m.now())) + "  " + l.Text
		all = append(all, l)
	}
	if len(all) == 0 {
		why := "no events yet"
		if m.readOnly() {
			why = "only a running controller remembers events"
		}
		return []line{text(dim, why)}
	}
	return reported(all, m.width)
}

// timeOf is the layout of a time: with its day where that is another one.
func timeOf(t, now time.Time) string {
	if t.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return time.TimeOnly
	}
	return time.DateTime
}

// declarationLines are what is declared against what is in force, and the declaration.
func (b *bottle) declarationLines(m *Model, status reconciler.BottleStatus) []line {
	all := []line{text(good, "in force as declared")}
	if status.Outdated() {
		all = []line{text(busy, fmt.Sprintf("generation %d is declared, %d is in force", status.Generation, status.ObservedGeneration))}
	} else if status.Generation > 0 {
		all[0].spans[0].text += fmt.Sprintf(", generation %d", status.Generation)
	}
	differs := false
	for _, c := range status.Components {
		if c.Cause != "" {
			differs = true
			all = append(all, text(bad, fmt.Sprintf("  %s: %s", c.Component, report.Flat(c.Cause))))
		}
	}
	if differs && !status.Outdated() {
		all[0] = text(bad, "not in force as declared:")
	}
	if b.description == nil {
		return append(all, text(dim, "reading the declaration …"))
	}
	return append(append(all, line{}), reported(b.description.Lines, m.width)...)
}
