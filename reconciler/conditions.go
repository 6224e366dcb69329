package reconciler

import "time"

// The values of a condition's status.
const (
	statusTrue    = "True"
	statusFalse   = "False"
	statusUnknown = "Unknown"
)

// phase is what the controller does about a bottle.
type phase int

const (
	settled  phase = iota // nothing: it is looked at again when something happens
	working               // it carries out a plan
	retrying              // it waits for the next try
	stalled               // it goes on trying, but somebody's help is needed
)

// publish replaces what is told of a bottle.
func (b *bottle) publish(s BottleStatus, p phase) {
	s.Conditions = conditions(b.status.Conditions, s, p, time.Now())
	b.status = s
}

// conditions are the three of a bottle. A condition keeps the time of its last transition until its status changes.
func conditions(before []Condition, s BottleStatus, p phase, now time.Time) []Condition {
	ready := Condition{Type: ConditionReady, Status: truth(s.Ready), Reason: s.Reason, Message: s.Message}
	if s.Reason == ReasonUnreachable || s.Reason == ReasonPending {
		ready.Status = statusUnknown
	}
	reconciling := Condition{Type: ConditionReconciling, Status: truth(p == working || p == retrying), Reason: "Settled"}
	switch p {
	case working:
		reconciling.Reason = "Progressing"
	case retrying:
		reconciling.Reason = "Retrying"
	case settled, stalled:
	}
	stuck := Condition{Type: ConditionStalled, Status: truth(p == stalled), Reason: "Settled"}
	if p == stalled {
		stuck.Reason, stuck.Message = s.Reason, s.Message
	}
	all := []Condition{ready, reconciling, stuck}
	for i := range all {
		all[i].ObservedGeneration, all[i].LastTransitionTime = s.ObservedGeneration, now
		if i < len(before) && before[i].Status == all[i].Status {
			all[i].LastTransitionTime = before[i].LastTransitionTime
		}
	}
	return all
}

func truth(b bool) string {
	if b {
		return statusTrue
	}
	return statusFalse
}
