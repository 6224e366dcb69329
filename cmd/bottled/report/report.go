// Package report puts the status of bottles into lines for people. It prints nothing: package terminal does.
package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/printable"
)

// detail is how much of a status is shown: less on a small terminal.
type detail int

const (
	everything          detail = iota
	componentsOfUnready        // and all bottles
	unreadyOnly                // with their components
	unreadyBottles             // without their components
)

// view is how a status is shown.
type view struct {
	now    time.Time
	detail detail
	usage  map[string]engine.Usage // by name of the container; nil: not shown
}

// Full is the status: the controller's troubles, the bottles, and why some are not ready. Warnings about the engine and host, which
// change with neither, are left to the controller's log, to doctor and to programs.
func Full(status reconciler.Status, now time.Time) []Line { return report(status, view{now: now}) }

// Wide is Full with what the containers use, by their names.
func Wide(status reconciler.Status, usage map[string]engine.Usage, now time.Time) []Line {
	return report(status, view{now: now, usage: usage})
}

func report(status reconciler.Status, v view) []Line {
	lines := append(controllerLines(status.Controller, v.now), waitingLine(status.Bottles, v.now)...)
	if len(lines) > 0 {
		lines = append(lines, Line{})
	}
	lines = append(lines, bottleLines(status.Bottles, v)...)
	return lines
}

func bottleLines(bottles []reconciler.BottleStatus, v view) []Line {
	if len(bottles) == 0 {
		return []Line{{Text: "no bottles"}}
	}
	var lines []Line
	shown := bottles
	if v.detail >= unreadyOnly {
		shown = slices.DeleteFunc(slices.Clone(shown), reconciler.BottleStatus.Healthy)
		lines = append(lines, Line{Text: fmt.Sprintf("%d of %s as they should be", len(bottles)-len(shown), Count(len(bottles), "bottle"))})
	}
	if len(shown) > 0 {
		lines = append(lines, bottleTable(shown, v)...)
	}
	for i, l := range noteLines(shown) {
		if i == 0 || v.detail == everything {
			lines = append(lines, Line{})
		}
		lines = append(lines, l)
	}
	return lines
}

// controllerLines are the status of the controller itself.
func controllerLines(c *reconciler.ControllerStatus, now time.Time) []Line {
	if c == nil {
		return nil
	}
	var lines []Line
	if c.Revision != "" {
		lines = append(lines, Line{Text: "revision " + c.Revision, Wrap: true})
	}
	if c.Syncs == 0 {
		lines = append(lines, Line{Text: "the controller has started, and its first sync is not done yet"})
	}
	for _, trouble := range Troubles(c, now) {
		lines = append(lines, Line{Text: trouble, Bad: true, Wrap: true})
	}
	for _, w := range c.Warnings {
		lines = append(lines, Line{Text: "warning: " + w, Wrap: true})
	}
	if len(c.Held) > 0 {
		lines = append(lines, Line{Text: fmt.Sprintf("kept, though not declared: %s (%s)", strings.Join(c.Held, ", "), c.HeldReason), Wrap: true})
	}
	return lines
}

// Troubles are what is wrong with the controller, its engine, its source and its manifests.
func Troubles(c *reconciler.ControllerStatus, now time.Time) []string {
	var all []string
	if e := c.Engine; !e.Reachable {
		trouble := "engine unreachable"
		if !e.Since.IsZero() {
			trouble += " for " + Age(e.Since, now)
		}
		if e.Error != "" {
			trouble += ": " + e.Error
		}
		all = append(all, Flat(trouble))
	}
	if c.SourceError != "" {
		all = append(all, "source: "+Flat(c.SourceError))
	}
	for _, p := range c.Problems {
		all = append(all, "manifests: "+p)
	}
	return all
}

// columns are those of the table of bottles.
type columns struct {
	restarts, since, usage bool
	bad                    bool // the row is about something that is not as it should be

	bottle, component, ready, state, restarted, changed, image string
	cpu, memory, container                                     string
}

// cells are the row's texts, without those of columns that are not shown.
func (c columns) cells() []string {
	cells := []string{c.bottle, c.component, c.ready, c.state}
	if c.restarts {
		cells = append(cells, c.restarted)
	}
	if c.since {
		cells = append(cells, c.changed)
	}
	if c.usage {
		cells = append(cells, c.cpu, c.memory, c.container)
	}
	cells = append(cells, c.image)
	for i := range cells {
		cells[i] = printable.Line(cells[i]) // a tab would begin another cell
	}
	return cells
}

func bottleTable(bottles []reconciler.BottleStatus, v view) []Line {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	var lines []Line
	shown := columns{
		restarts: slices.ContainsFunc(bottles, func(b reconciler.BottleStatus) bool { return b.Restarts() > 0 }),
		since:    slices.ContainsFunc(bottles, func(b reconciler.BottleStatus) bool { return b.Condition(reconciler.ConditionReady) != nil }),
		usage:    v.usage != nil,
	}
	row := func(c columns) {
		c.restarts, c.since, c.usage = shown.restarts, shown.since, shown.usage
		fmt.Fprintln(t, strings.Join(c.cells(), "\t"))
		lines = append(lines, Line{Bad: c.bad})
	}
	row(columns{
		bottle: "BOTTLE", component: "COMPONENT", ready: "READY", state: "STATE", restarted: "RESTARTS", changed: "SINCE", image: "IMAGE",
		cpu: "CPU TIME", memory: "MEMORY", container: "CONTAINER",
	})
	for _, b := range bottles {
		changed, hidden := "", v.detail == unreadyBottles || v.detail > everything && b.Healthy()
		if c := b.Condition(reconciler.ConditionReady); c != nil && !c.LastTransitionTime.IsZero() {
			changed = Age(c.LastTransitionTime, v.now) + " ago"
		}
		row(columns{bad: !b.Healthy(), bottle: b.Slug, ready: yesNo(b.Ready), state: StateOf(b), restarted: restartCell(b.Restarts(), hidden), changed: changed})
		if hidden {
			continue
		}
		for _, p := range b.Components {
			c := columns{
				bad: !p.Ready && !b.Healthy(), component: string(p.Component), ready: yesNo(p.Ready), state: componentState(p, v.now),
				restarted: restartCell(p.Restarts, true), image: imageName(p.Image), container: p.Name,
			}
			c.cpu, c.memory = usageCells(v.usage[p.Name])
			row(c)
		}
	}
	_ = t.Flush() // a strings.Builder takes everything
	for i, l := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		lines[i].Text = strings.TrimRight(l, " ")
	}
	return lines
}

// usageCells are empty for a container that does not run.
func usageCells(u engine.Usage) (cpu, memory string) {
	if u == (engine.Usage{}) {
		return "", ""
	}
	memory = units.BytesSize(float64(u.Memory))
	if u.MemoryLimit > 0 {
		memory += " / " + units.BytesSize(float64(u.MemoryLimit))
	}
	return u.CPU.Round(10 * time.Millisecond).String(), memory
}

// notedConditions are the conditions that are explained while they are True, and how they are called.
var notedConditions = []struct{ kind, name string }{
	{reconciler.ConditionStalled, "stalled"},
	{reconciler.ConditionReconciling, "reconciling"},
	{reconciler.ConditionCut, "cut off"},
	{reconciler.ConditionCredentialRejected, "credential rejected"},
	{reconciler.ConditionTokenStale, "warning"},
	{reconciler.ConditionPortUnavailable, "port unavailable"},
}

// noteLines explain the bottles that are not as they should be.
func noteLines(bottles []reconciler.BottleStatus) []Line {
	var lines []Line
	for _, b := range bottles {
		note := func(text string) {
			lines = append(lines, Line{Text: b.Slug + ": " + Flat(text), Bad: !b.Healthy(), Wrap: true})
		}
		if b.Message != "" {
			note(b.Message)
		}
		said := b.Message
		for _, of := range notedConditions {
			c := b.Condition(of.kind)
			if c == nil || c.Status != "True" || c.Message == "" || strings.Contains(said, c.Message) {
				continue
			}
			note(of.name + ": " + c.Message)
			said += c.Message
		}
		for _, w := range b.Warnings {
			lines = append(lines, Line{Text: b.Slug + ": warning: " + Flat(w), Wrap: true})
		}
	}
	return lines
}

// StateOf is the bottle's reason, and whether work on it is under way or stalled.
func StateOf(b reconciler.BottleStatus) string {
	state := b.Reason
	switch {
	case b.IsTrue(reconciler.ConditionStalled):
		state += ", stalled"
	case b.IsTrue(reconciler.ConditionReconciling):
		state += ", reconciling"
	}
	if b.Outdated() {
		state += " (newer declaration waits)"
	}
	return state
}

// componentState is a component's state on the engine, or how an agent ended for good.
func componentState(p reconciler.ComponentStatus, now time.Time) string {
	if p.Ended == nil {
		return p.State
	}
	return fmt.Sprintf("%s (exit code %d, %s ago)", p.Phase, p.Ended.ExitCode, Age(p.Ended.At, now))
}

func restartCell(n int, shown bool) string {
	if n == 0 || !shown {
		return ""
	}
	return strconv.Itoa(n)
}

// Fit is the status with as much detail as a terminal has room for, below the lines of header: at most height lines.
func Fit(status reconciler.Status, header []Line, now time.Time, height, width int) []Line {
	var lines []Line
	for d := everything; d <= unreadyBottles; d++ {
		lines = wrapped(append(slices.Clone(header), report(status, view{now: now, detail: d})...), width)
		if len(lines) <= height {
			return lines
		}
	}
	rest := len(lines) - (height - 1)
	return append(lines[:height-1], Line{Text: "… " + Count(rest, "more line")})
}

// wrapped breaks long lines at the width, those with Wrap set.
func wrapped(lines []Line, width int) []Line {
	var all []Line
	for _, l := range lines {
		l.Text = printable.Line(l.Text)
		for r := []rune(l.Text); l.Wrap && len(r) > width; r = r[width:] {
			all = append(all, Line{Text: string(r[:width]), Bad: l.Bad})
			l.Text = string(r[width:])
		}
		all = append(all, l)
	}
	return all
}
