package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/queue"
)

// AuditRecord is any record of an audit log, without its time, bottle and kind. line is the record's line, which has the fields of
// decisions and changes.
func AuditRecord(r audit.Record, line []byte) Line {
	switch r.Kind {
	case audit.KindDecision:
		var d queue.Record
		if json.Unmarshal(line, &d) == nil {
			return Line{Text: words(d.Action, string(d.Tool), d.File, by(d.Who), quote(d.Notes))}
		}
	case audit.KindChange:
		var c audit.Change
		if json.Unmarshal(line, &c) == nil {
			failed := c.Result == audit.ChangeFailed
			return Line{Text: words(c.Action, cmp.Or(c.Object, c.Component), by(c.Who), parentheses(c.Cause), failure(failed, c.Error)), Bad: failed}
		}
	}
	l := Decision(r)
	if r.Component != "" {
		l.Text = fmt.Sprintf("%-10s  %s", r.Component, l.Text)
	}
	return l
}

func words(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(w string) bool { return w == "" }), " ")
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return "by " + who
}

func quote(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%q", text)
}

func parentheses(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func failure(failed bool, why string) string {
	if !failed {
		return ""
	}
	return "failed: " + why
}
