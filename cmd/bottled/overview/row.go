package overview

import (
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// Snapshot is what is known at one moment.
type Snapshot struct {
	Status    reconciler.Status
	Proposals []reconciler.Proposal // the oldest first
	Activity  reconciler.Activity
}

// Tone is how something is, as a colour shows it. Nothing is said by a tone alone.
type Tone string

// The tones.
const (
	Good    Tone = "good"    // as declared
	Busy    Tone = "busy"    // on its way to that
	Warning Tone = "warning" // as declared, and somebody should look at it
	Bad     Tone = "bad"     // it needs somebody
	Idle    Tone = "idle"    // stopped or cut off on purpose, or done
)

// Row is one bottle in the fleet.
type Row struct {
	Bottle    string
	Labels    map[string]string
	Tone      Tone
	Condition string // "Ready"; "Failed, stalled"
	Message   string // why, for people; "" where nothing is to be said
	Since     time.Time
	// Agent is its state: "running", "Completed (exit code 0)", "crash-looping", "none".
	Agent   string
	RetryAt time.Time // of the first component in backoff
	// Measured says whether CPU and memory are known.
	Measured            bool
	CPU                 float64 // in CPUs
	Memory, MemoryLimit int64   // bytes; no limit is 0
	// Counted says whether requests are known: a running controller counts them.
	Counted          bool
	Requests, Denied uint64 // in the last minute
	Rejection        *reconciler.Rejection
	Waiting          int       // proposals that wait for a person
	Oldest           time.Time // when the first of them was asked
	HostsUntil       time.Time // when the first of the hosts allowed for a time ends
	Cut              bool
}

// NeedsAttention reports whether a row is shown where those that are well are folded.
func (r Row) NeedsAttention() bool {
	return r.Tone == Bad || r.Tone == Warning || r.Tone == Busy || r.Waiting > 0
}

// RowOf returns the row of a bottle.
func (s Snapshot) RowOf(b reconciler.BottleStatus) Row {
	r := Row{
		Bottle: b.Slug, Labels: b.Labels, Tone: toneOf(b), Condition: report.StateOf(b), Message: messageOf(b), Agent: agentOf(b),
		RetryAt: b.RetryAt, HostsUntil: b.HostsUntil, Cut: b.Cut,
	}
	if c := b.Condition(reconciler.ConditionReady); c != nil {
		r.Since = c.LastTransitionTime
	}
	if b.Proposals != nil {
		r.Waiting, r.Oldest = b.Proposals.Waiting, b.Proposals.Oldest
	}
	if a, measured := s.Activity.Bottles[b.Slug]; measured {
		r.Measured, r.CPU, r.Memory, r.MemoryLimit = true, a.CPU, a.Memory, a.MemoryLimit
		r.Counted, r.Requests, r.Denied, r.Rejection = s.Status.Controller != nil, a.Requests, a.Denied, a.Rejection
	}
	return r
}

// toneOf judges a bottle.
func toneOf(b reconciler.BottleStatus) Tone {
	switch {
	case b.IsTrue(reconciler.ConditionStalled):
		return Bad
	case b.Reason == reconciler.ReasonPending, b.IsTrue(reconciler.ConditionReconciling) && b.Reason != reconciler.ReasonCrashing && b.Reason != reconciler.ReasonFailed:
		return Busy
	case !b.Healthy():
		return Bad
	case b.Cut, b.Reason == reconciler.ReasonSuspend, b.Reason == reconciler.ReasonCompleted:
		return Idle
	case len(b.Warnings) > 0, b.IsTrue(reconciler.ConditionCredentialRejected), b.IsTrue(reconciler.ConditionTokenStale), b.IsTrue(reconciler.ConditionPortUnavailable):
		return Warning
	}
	return Good
}

// messageOf is the first thing to know about a bottle that is not simply ready.
func messageOf(b reconciler.BottleStatus) string {
	if b.Message != "" {
		return report.Flat(b.Message)
	}
	for _, c := range b.Conditions {
		if c.Type != reconciler.ConditionReady && c.Status == "True" && c.Message != "" {
			return report.Flat(c.Message)
		}
	}
	if len(b.Warnings) > 0 {
		return report.Flat(b.Warnings[0])
	}
	return ""
}

// agentOf is the state of a bottle's agent.
func agentOf(b reconciler.BottleStatus) string {
	a := b.Agent()
	switch {
	case a == nil:
		return "none"
	case a.Ended != nil:
		return fmt.Sprintf("%s (exit code %d)", a.Phase, a.Ended.ExitCode)
	case b.Reason == reconciler.ReasonCrashing && a.State != engine.StateRunning:
		return "crash-looping"
	}
	return a.State
}
