package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// detail is how much a report shows; a terminal that is too small for everything gets less.
type detail int

const (
	everything     detail = iota
	partsOfUnready        // and all bottles
	unreadyOnly           // with their parts
	unreadyBottles        // without their parts
)

// report is the status for people: what the controller has to tell, the bottles, why some are not ready, and what the engine
// leaves open.
func report(live reconciler.Status, now time.Time, d detail) []line {
	lines := controllerLines(live.Controller, now)
	if len(lines) > 0 {
		lines = append(lines, line{})
	}
	lines = append(lines, bottleLines(live.Bottles, now, d)...)
	if d == everything {
		lines = append(lines, gapLines(live.Warnings)...)
	}
	return lines
}

func bottleLines(bottles []reconciler.BottleStatus, now time.Time, d detail) []line {
	if len(bottles) == 0 {
		return []line{{text: "no bottles"}}
	}
	var lines []line
	shown := bottles
	if d >= unreadyOnly {
		shown = slices.DeleteFunc(slices.Clone(shown), fine)
		lines = append(lines, line{text: fmt.Sprintf("%d of %s as they should be", len(bottles)-len(shown), count(len(bottles), "bottle"))})
	}
	if len(shown) > 0 {
		lines = append(lines, bottleTable(shown, now, d)...)
	}
	for i, l := range noteLines(shown) {
		if i == 0 || d == everything {
			lines = append(lines, line{})
		}
		lines = append(lines, l)
	}
	return lines
}

// controllerLines tell what is of interest besides the bottles.
func controllerLines(c *reconciler.ControllerStatus, now time.Time) []line {
	if c == nil {
		return nil
	}
	var lines []line
	if c.Revision != "" {
		lines = append(lines, line{text: "revision " + c.Revision, wrap: true})
	}
	if c.Syncs == 0 {
		lines = append(lines, line{text: "the controller has started, and its first sync is not done yet"})
	}
	for _, trouble := range troubles(c, now) {
		lines = append(lines, line{text: trouble, bad: true, wrap: true})
	}
	for _, w := range c.Warnings {
		lines = append(lines, line{text: "warning: " + w, wrap: true})
	}
	if len(c.Held) > 0 {
		lines = append(lines, line{text: fmt.Sprintf("kept, though not declared: %s (%s)", strings.Join(c.Held, ", "), c.HeldReason), wrap: true})
	}
	return lines
}

// troubles are what is wrong besides the bottles.
func troubles(c *reconciler.ControllerStatus, now time.Time) []string {
	var all []string
	if e := c.Engine; !e.Reachable {
		trouble := "engine unreachable"
		if !e.Since.IsZero() {
			trouble += " for " + age(e.Since, now)
		}
		if e.Error != "" {
			trouble += ": " + e.Error
		}
		all = append(all, flat(trouble))
	}
	if c.SourceError != "" {
		all = append(all, "source: "+flat(c.SourceError))
	}
	for _, p := range c.Problems {
		all = append(all, "manifests: "+p)
	}
	return all
}

func bottleTable(bottles []reconciler.BottleStatus, now time.Time, d detail) []line {
	restarts := slices.ContainsFunc(bottles, func(b reconciler.BottleStatus) bool { return restartsOf(b) > 0 })
	since := slices.ContainsFunc(bottles, func(b reconciler.BottleStatus) bool { return condition(b, reconciler.ConditionReady) != nil })
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	var lines []line
	row := func(bad bool, bottle, part, ready, state, restarted, changed, image string) {
		cells := []string{bottle, part, ready, state}
		if restarts {
			cells = append(cells, restarted)
		}
		if since {
			cells = append(cells, changed)
		}
		cells = append(cells, image)
		for i := range cells {
			cells[i] = printable.Line(cells[i]) // a tab would begin another cell
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
		lines = append(lines, line{bad: bad})
	}
	row(false, "BOTTLE", "PART", "READY", "STATE", "RESTARTS", "SINCE", "IMAGE")
	for _, b := range bottles {
		changed, hidden := "", d == unreadyBottles || d > everything && fine(b)
		if c := condition(b, reconciler.ConditionReady); c != nil && !c.LastTransitionTime.IsZero() {
			changed = age(c.LastTransitionTime, now) + " ago"
		}
		row(!fine(b), b.Slug, "", yesNo(b.Ready), stateOf(b), restartCell(restartsOf(b), hidden), changed, "")
		if hidden {
			continue
		}
		for _, p := range b.Components {
			row(!p.Ready && !fine(b), "", string(p.Component), yesNo(p.Ready), p.State, restartCell(p.Restarts, true), "", imageName(p.Image))
		}
	}
	_ = t.Flush() // a strings.Builder takes everything
	for i, l := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		lines[i].text = strings.TrimRight(l, " ")
	}
	return lines
}

// noteLines say why bottles are not as they should be.
func noteLines(bottles []reconciler.BottleStatus) []line {
	var lines []line
	for _, b := range bottles {
		note := func(text string) {
			lines = append(lines, line{text: b.Slug + ": " + flat(text), bad: !fine(b), wrap: true})
		}
		if b.Message != "" {
			note(b.Message)
		}
		told := b.Message
		for _, kind := range []string{reconciler.ConditionStalled, reconciler.ConditionReconciling} {
			c := condition(b, kind)
			if c == nil || c.Status != "True" || c.Message == "" || strings.Contains(told, c.Message) {
				continue
			}
			note(strings.ToLower(kind) + ": " + c.Message)
			told += c.Message
		}
	}
	return lines
}

// gapLines tell what the engine can't keep closed.
func gapLines(gaps []string) []line {
	var lines []line
	for i, gap := range gaps {
		if i == 0 {
			lines = append(lines, line{})
		}
		lines = append(lines, line{text: "warning: " + gap, wrap: true})
	}
	return lines
}

// fine says whether nobody needs to look after the bottle.
func fine(b reconciler.BottleStatus) bool { return b.Ready || b.Reason == reconciler.ReasonSuspend }

// stateOf is the reason why the bottle is as it is, and what goes on with it.
func stateOf(b reconciler.BottleStatus) string {
	state := b.Reason
	switch {
	case isTrue(b, reconciler.ConditionStalled):
		state += ", stalled"
	case isTrue(b, reconciler.ConditionReconciling):
		state += ", reconciling"
	}
	if waits(b) {
		state += " (newer declaration waits)"
	}
	return state
}

// waits says whether the status is not about what is declared now.
func waits(b reconciler.BottleStatus) bool {
	return b.ObservedGeneration != 0 && b.Generation != b.ObservedGeneration
}

func condition(b reconciler.BottleStatus, kind string) *reconciler.Condition {
	for i := range b.Conditions {
		if b.Conditions[i].Type == kind {
			return &b.Conditions[i]
		}
	}
	return nil
}

func isTrue(b reconciler.BottleStatus, kind string) bool {
	c := condition(b, kind)
	return c != nil && c.Status == "True"
}

func restartsOf(b reconciler.BottleStatus) int {
	n := 0
	for _, p := range b.Components {
		n += p.Restarts
	}
	return n
}

func restartCell(n int, shown bool) string {
	if n == 0 || !shown {
		return ""
	}
	return strconv.Itoa(n)
}

// age is the time since then in its largest unit; "" where then is not known.
func age(then, now time.Time) string {
	d := max(now.Sub(then), 0)
	switch {
	case then.IsZero():
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// fit is the report with as much detail as a terminal has room for; whatever happens, at most height lines.
func fit(live reconciler.Status, more []line, now time.Time, height, width int) []line {
	var lines []line
	for d := everything; d <= unreadyBottles; d++ {
		lines = wrapped(append(slices.Clone(more), report(live, now, d)...), width)
		if len(lines) <= height {
			return lines
		}
	}
	rest := len(lines) - (height - 1)
	return append(lines[:height-1], line{text: "… " + count(rest, "more line")})
}

// wrapped breaks the lines that go on in the next one.
func wrapped(lines []line, width int) []line {
	var all []line
	for _, l := range lines {
		l.text = printable.Line(l.text)
		for r := []rune(l.text); l.wrap && len(r) > width; r = r[width:] {
			all = append(all, line{text: string(r[:width]), bad: l.bad})
			l.text = string(r[width:])
		}
		all = append(all, l)
	}
	return all
}

// flat makes one line of a message that has several.
func flat(message string) string { return strings.Join(strings.Fields(message), " ") }
