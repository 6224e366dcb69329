package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

// The values of a condition's status.
const (
	statusTrue    = "True"
	statusFalse   = "False"
	statusUnknown = "Unknown"
)

// phase is the controller's activity on a bottle.
type phase int

const (
	settled  phase = iota // none until the next event
	working               // a plan is being executed
	retrying              // waiting for the end of a backoff
	stalled               // retrying, but somebody's help is needed
)

// publish replaces the status of a bottle and computes its conditions.
func (b *bottle) publish(s reconciler.BottleStatus, p phase) {
	s.Traffic, s.StaleTokens, s.Ports = b.traffic.Summary(), b.staleTokens, b.ports
	s.Conditions = conditions(b.status.Conditions, s, p, time.Now())
	b.status, b.phase = s, p
}

// conditions returns the conditions Ready, Reconciling and Stalled, then those of the others that are True. A condition keeps its last transition time until its status
// changes.
func conditions(before []reconciler.Condition, s reconciler.BottleStatus, p phase, now time.Time) []reconciler.Condition {
	ready := reconciler.Condition{Type: reconciler.ConditionReady, Status: conditionStatus(s.Ready), Reason: s.Reason, Message: s.Message}
	if s.Reason == reconciler.ReasonUnreachable || s.Reason == reconciler.ReasonPending {
		ready.Status = statusUnknown
	}
	reconciling := reconciler.Condition{Type: reconciler.ConditionReconciling, Status: conditionStatus(p == working || p == retrying), Reason: "Settled"}
	switch p {
	case working:
		reconciling.Reason = "Progressing"
	case retrying:
		reconciling.Reason = "Retrying"
	case settled, stalled:
	}
	stuck := reconciler.Condition{Type: reconciler.ConditionStalled, Status: conditionStatus(p == stalled), Reason: "Settled"}
	if p == stalled {
		stuck.Reason, stuck.Message = s.Reason, s.Message
	}
	all := []reconciler.Condition{ready, reconciling, stuck}
	if s.Cut {
		all = append(all, reconciler.Condition{
			Type: reconciler.ConditionCut, Status: statusTrue, Reason: "CutByOperator", Message: "its sidecars have no way out; to undo: bottled resume " + s.Slug,
		})
	}
	if message := s.Traffic.RejectedMessage(); message != "" {
		all = append(all, reconciler.Condition{
			Type: reconciler.ConditionCredentialRejected, Status: statusTrue, Reason: "CredentialRejected", Message: message,
		})
	}
	if len(s.StaleTokens) > 0 {
		all = append(all, reconciler.Condition{
			Type: reconciler.ConditionTokenStale, Status: statusTrue, Reason: "CommandFailed", Message: strings.Join(s.StaleTokens, "; "),
		})
	}
	if message := s.PortsMessage(); message != "" {
		all = append(all, reconciler.Condition{Type: reconciler.ConditionPortUnavailable, Status: statusTrue, Reason: "NotListening", Message: message})
	}
	if agent := s.Agent(); agent != nil && agent.Ended != nil {
		all = append(all, agentCondition(*agent))
	}
	last := reconciler.BottleStatus{Conditions: before}
	for i := range all {
		all[i].ObservedGeneration, all[i].LastTransitionTime = s.ObservedGeneration, now
		if was := last.Condition(all[i].Type); was != nil && was.Status == all[i].Status {
			all[i].LastTransitionTime = was.LastTransitionTime
		}
	}
	return all
}

// agentCondition returns the condition that an agent has ended for good.
func agentCondition(agent reconciler.ComponentStatus) reconciler.Condition {
	c := reconciler.Condition{Type: reconciler.ConditionCompleted, Status: statusTrue, Reason: agent.Phase, Message: agent.Cause}
	if agent.Phase == reconciler.PhaseFailed {
		c.Type = reconciler.ConditionFailed
	}
	if c.Message == "" {
		c.Message = fmt.Sprintf("it ended with exit code %d", agent.Ended.ExitCode)
	}
	c.Message += " at " + agent.Ended.At.UTC().Format(time.RFC3339)
	return c
}

func conditionStatus(b bool) string {
	if b {
		return statusTrue
	}
	return statusFalse
}

// awaitedConditions returns the conditions of a bottle for which a resync found work at the time since: it is Reconciling, also
// before its pass observes that work itself.
func awaitedConditions(all []reconciler.Condition, since time.Time) []reconciler.Condition {
	all = slices.Clone(all)
	for i := range all {
		if c := &all[i]; c.Type == reconciler.ConditionReconciling && c.Status != statusTrue {
			c.Status, c.Reason, c.LastTransitionTime = statusTrue, "Progressing", since
		}
	}
	return all
}
