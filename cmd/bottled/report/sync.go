package report

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

// OutOfSync returns why what runs is not what is declared, after a resync: a line for each reason, none if it is. An empty set of
// manifests is a reason unless somebody confirmed it.
func OutOfSync(status reconciler.Status, confirmed bool) []string {
	reasons := Troubles(status.Controller, time.Now())
	declared := 0
	for _, b := range status.Bottles {
		if b.Reason != reconciler.ReasonHeld {
			declared++
		}
		if !b.Healthy() || b.Reason == reconciler.ReasonSuspend && b.Message != "" { // not by its manifest
			reasons = append(reasons, b.Slug+": "+Because(b.Reason, b.Message))
		}
		if b.Cut {
			reasons = append(reasons, b.Slug+": cut off by an operator; to undo: bottled resume "+b.Slug)
		}
	}
	if declared == 0 && !confirmed {
		reasons = append(reasons, "nothing is declared: no manifest of a bottle was found")
	}
	return reasons
}
