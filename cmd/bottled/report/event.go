package report

import (
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

// Event is an event, without its time and its bottle.
func Event(e reconciler.Event, now time.Time) Line {
	text := fmt.Sprintf("%-16s  ", e.Reason)
	if e.Component != "" {
		text += string(e.Component) + ": "
	}
	text += Flat(e.Message)
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times in %s)", e.Count, Age(e.First, e.Time))
	}
	if e.RetryAt.After(now) {
		text += ", next try in " + Age(now, e.RetryAt)
	}
	return Line{Text: text, Bad: e.Type == reconciler.EventWarning, Wrap: true}
}
