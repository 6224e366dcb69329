package report

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/bot-bottle/bottled/reconciler"
)

// Volumes are the declared volumes of a bottle, as a table.
func Volumes(b reconciler.BottleStatus) []Line {
	if len(b.Volumes) == 0 {
		return nil
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "VOLUME\tSTATE\tRETAINED\tNAME")
	for _, v := range b.Volumes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.Name, v.State, yesNo(v.Retained), v.Volume)
	}
	_ = table.Flush() // a strings.Builder takes everything
	var lines []Line
	for l := range strings.Lines(text.String()) {
		lines = append(lines, Line{Text: strings.TrimRight(l, " \n")})
	}
	return lines
}
