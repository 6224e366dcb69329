package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// Refused returns what a bottle's sidecars refused since the controller started: how much, and the hosts that were denied most often.
func Refused(b reconciler.BottleStatus, now time.Time) []Line {
	t := b.Traffic
	if t == nil || t.Denied == 0 {
		return nil
	}
	total := fmt.Sprintf("%s: %d requests denied since the controller started, of them %d for what they contained", b.Slug, t.Denied, t.DLPBlocks)
	lines := []Line{{}, {Text: total}}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "DENIED\tHOST\tCODE\tLAST")
	for _, h := range t.DeniedHosts {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s ago\n", h.Count, printable.Line(h.Host), printable.Line(h.Code), Age(h.Last, now))
	}
	_ = table.Flush() // a strings.Builder takes everything
	for l := range strings.Lines(text.String()) {
		lines = append(lines, Line{Text: strings.TrimRight(l, " \n")})
	}
	return lines
}
