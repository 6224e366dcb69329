package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
	"github.com/bot-bottle/bottled/state/queue"
)

// shortID is how many characters of an ID's random part are shown, if no other proposal's begins with them.
const shortID = 8

// RandomPart is the part of a proposal's ID by which people name it: what follows its time.
func RandomPart(id string) string { return id[strings.LastIndexByte(id, '-')+1:] }

// ShortIDs are the IDs of proposals for people, by ID: as short as they may be to tell them apart. An agent may choose an ID that begins as
// another.
func ShortIDs(all []reconciler.Proposal) map[string]string {
	var parts []string
	for _, p := range all {
		parts = append(parts, RandomPart(p.ID))
	}
	slices.Sort(parts)
	short := map[string]string{}
	for _, p := range all {
		part := RandomPart(p.ID)
		i, _ := slices.BinarySearch(parts, part)
		n := shortID
		if i > 0 {
			n = max(n, commonPrefix(part, parts[i-1])+1)
		}
		if i+1 < len(parts) {
			n = max(n, commonPrefix(part, parts[i+1])+1)
		}
		short[p.ID] = part[:min(n, len(part))]
	}
	return short
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// Short cuts an agent's text.
func Short(text string) string { return cut(text, 300) }

func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// Proposals are proposals as a table, with the controller's messages below it.
func Proposals(all []reconciler.Proposal, short map[string]string, now time.Time) []Line {
	const maxSummary = 80
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ID\tBOTTLE\tAGE\tTOOL\tSUMMARY\tSTATE")
	lines := []Line{{}}
	var notes []Line
	for _, p := range all {
		cells := []string{short[p.ID], p.Bottle, Age(p.Asked, now), string(p.Tool), cut(p.Summary, maxSummary), ProposalState(p)}
		for i := range cells {
			cells[i] = printable.Line(cells[i]) // a tab would begin another cell
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
		failed := p.Decision != nil && p.Decision.Status == queue.Failed
		lines = append(lines, Line{Bad: failed})
		if p.Message != "" {
			notes = append(notes, Line{Text: short[p.ID] + ": " + Flat(p.Message), Bad: failed, Wrap: true})
		}
	}
	_ = table.Flush() // a strings.Builder takes everything
	for i, l := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		lines[i].Text = strings.TrimRight(l, " ")
	}
	if len(notes) > 0 {
		lines = append(append(lines, Line{}), notes...)
	}
	return lines
}

// ProposalState is how far a proposal is, and who has decided about it.
func ProposalState(p reconciler.Proposal) string {
	if p.Decision == nil {
		return string(p.State)
	}
	decided := fmt.Sprintf("%s by %s", p.Decision.Status, p.Decision.By)
	if p.State == reconciler.ProposalAnswered {
		return decided
	}
	return fmt.Sprintf("%s (%s)", p.State, decided)
}

// Review is everything that a person needs to decide about a proposal, and how to, by a short ID; without one only the former. An agent's
// words stand behind a bar, so that none can pass for bottled's.
func Review(r reconciler.Review, short string, now time.Time) []Line {
	asked := fmt.Sprintf("asks      %s (%s), %s ago", Flat(r.Summary), r.Tool, Age(r.Asked, now))
	if r.State == reconciler.ProposalWaiting && !r.Expires.IsZero() {
		asked += ", expires in " + Age(now, now.Add(remaining(r.Expires.Sub(now))))
	}
	all := []Line{{Text: "proposal  " + r.ID}, {Text: "bottle    " + r.Bottle}, {Text: asked, Wrap: true}, {Text: "state     " + ProposalState(r.Proposal)}}
	if r.Message != "" {
		all = append(all, Line{Text: "          " + Flat(r.Message), Wrap: true})
	}
	if d := r.Decision; d != nil && d.Notes != "" {
		all = append(all, quoted("notes", d.Notes)...)
	}
	because := "because, in the agent's words"
	if r.Own {
		because = "because"
	}
	all = append(all, quoted(because, r.Justification)...)
	all = append(all, refusedLines(r.Refused, now)...)
	if r.Diff == "" && r.Payload != "" {
		all = append(all, quoted("payload, in the agent's words", r.Payload)...)
	}
	all = append(all, changeLines(r, "an approval will")...)
	return append(all, adviceLines(r, short)...)
}

// Rollback is what a rollback would change.
func Rollback(r reconciler.Review) []Line {
	return append(changeLines(r, "a rollback will"), adviceLines(r, "")...)
}

// changeLines are the change of a file, and what follows from it.
func changeLines(r reconciler.Review, plan string) []Line {
	var all []Line
	if r.Diff != "" {
		all = append(all, Line{}, Line{Text: "change of " + r.File})
		all = append(all, diffLines(r.Diff)...)
	}
	if len(r.Plan) > 0 {
		all = append(all, Line{}, Line{Text: plan})
		for _, p := range r.Plan {
			all = append(all, Line{Text: "  " + p, Wrap: true})
		}
	}
	return all
}

// remaining is a time that is left, to the minute: of a day, a second later, there is a day left.
func remaining(d time.Duration) time.Duration {
	if d < time.Minute {
		return d
	}
	return d.Round(time.Minute)
}

// adviceLines are what to be aware of, and how to decide.
func adviceLines(r reconciler.Review, short string) []Line {
	all := []Line{{}}
	for _, w := range r.Warnings {
		all = append(all, Line{Text: "warning: " + Flat(w), Wrap: true})
	}
	for _, d := range r.Dangers {
		all = append(all, Line{Text: "danger: " + Flat(d), Bad: true, Wrap: true})
	}
	if r.Blocked != "" {
		all = append(all, Line{Text: "can't be approved: " + Flat(r.Blocked), Bad: true, Wrap: true})
	}
	switch decides := r.State == reconciler.ProposalWaiting && short != ""; {
	case !decides && len(all) == 1:
		return nil
	case !decides:
		return all
	}
	if r.Blocked == "" {
		approve := "bottled approve " + short
		if len(r.Dangers) > 0 {
			approve += " --allow-new-upstream"
		}
		all = append(all, Line{Text: "approve: " + approve})
	}
	return append(all, Line{Text: "reject:  bottled reject " + short + ` --note "why"`})
}

// quoted are words of somebody else.
func quoted(title, text string) []Line {
	all := []Line{{}, {Text: title}}
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		all = append(all, Line{Text: "  | " + strings.ReplaceAll(strings.TrimSuffix(l, "\r"), "\t", "    ")})
	}
	return all
}

func refusedLines(of []reconciler.RefusedRequest, now time.Time) []Line {
	if len(of) == 0 {
		return nil
	}
	all := []Line{{}, {Text: "refused before it asked"}}
	for _, r := range of {
		times := ""
		if r.Count > 1 {
			times = fmt.Sprintf(" (%d times)", r.Count)
		}
		all = append(all, Line{Text: fmt.Sprintf("  %4s ago  %-10s  %s  %s%s", Age(r.Time, now), r.Component, Short(Flat(r.Request)), Short(Flat(r.Reason)), times)})
	}
	return all
}

// diffLines are a unified diff, with its signs.
func diffLines(diff string) []Line {
	var all []Line
	for _, l := range strings.Split(strings.TrimSuffix(diff, "\n"), "\n") {
		sign := ""
		switch {
		case strings.HasPrefix(l, "+++"), strings.HasPrefix(l, "---"):
		case strings.HasPrefix(l, "@@"):
			sign = "~"
		case strings.HasPrefix(l, "+"), strings.HasPrefix(l, "-"):
			sign = l[:1]
		}
		all = append(all, Line{Text: "  " + strings.ReplaceAll(l, "\t", "    "), Sign: sign})
	}
	return all
}

// waitingLine says how many proposals of bottles wait; nothing when none does.
func waitingLine(bottles []reconciler.BottleStatus, now time.Time) []Line {
	const maxNames = 3
	n, oldest := 0, time.Time{}
	var names []string
	for _, b := range bottles {
		if p := b.Proposals; p != nil && p.Waiting > 0 {
			n += p.Waiting
			names = append(names, b.Slug)
			if oldest.IsZero() || p.Oldest.Before(oldest) {
				oldest = p.Oldest
			}
		}
	}
	if n == 0 {
		return nil
	}
	if len(names) > maxNames {
		names = append(names[:maxNames], "…")
	}
	verb := "wait"
	if n == 1 {
		verb = "waits"
	}
	return []Line{{Text: fmt.Sprintf("%s %s for a decision (%s), the oldest for %s: bottled proposals", Count(n, "proposal"), verb, strings.Join(names, ", "), cmp.Or(Age(oldest, now), "0s")), Wrap: true}}
}
