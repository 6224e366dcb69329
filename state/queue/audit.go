package queue

import (
	"errors"
	"fmt"
	"time"
)

// Record is one decision, as a line of the audit log (contract).
type Record struct {
	Time   time.Time `json:"time"`
	Bottle string    `json:"bottle"` // by the queue's place, not by the agent's word
	Kind   string    `json:"kind"`   // decision
	Tool   Tool      `json:"tool"`
	// Action is the answer's status; or void, for a decision that came too late and had no effect: the line
	// before it of the same proposal.
	Action        string `json:"action"`
	Who           string `json:"who"`
	Diff          string `json:"diff"` // what it changes of the bottle, as was shown to who decided; unified
	Justification string `json:"justification"`
	Notes         string `json:"notes"`
	Proposal      string `json:"proposal"` // its ID
}

// kindDecision tells a decision from what the log has of the sidecars.
const kindDecision = "decision"

// actionVoid takes a decision back, see Record.
const actionVoid = "void"

// AuditLog is where decisions are recorded: a bottle's audit.Log. The record has reached the disk when Append returns without
// an error.
type AuditLog interface {
	Append(record any) error
}

// Decide answers a proposal for a human. The decision is in the audit log before the agent can see it, and one
// that can't be logged is not made. bottle is the slug that the queue's directory belongs to; diff is what the
// human saw. ErrAnswered when somebody was faster, ErrGone when the proposal is not there.
func (q *Queue) Decide(log AuditLog, bottle, id string, a Answer, diff string) error {
	if a.Status == Withdrawn || a.By == "" {
		return fmt.Errorf("decide on proposal %s: a decision is approved, modified or rejected, and by somebody", id)
	}
	a.Time = q.now().UTC()
	if err := a.validate(); err != nil {
		return fmt.Errorf("decide on proposal %s: %w", id, err)
	}
	entry, err := q.Get(id)
	if err != nil {
		return err
	}
	if entry.Answer != nil {
		return fmt.Errorf("proposal %s: %w (%s)", id, ErrAnswered, entry.Answer.Status)
	}
	p := entry.Proposal
	record := Record{
		Time: a.Time, Bottle: bottle, Kind: kindDecision, Tool: p.Tool, Action: string(a.Status), Who: a.By, Diff: diff,
		Justification: p.Justification, Notes: a.Notes, Proposal: id,
	}
	if err := log.Append(record); err != nil {
		return err
	}
	err = q.Answer(id, a)
	if err != nil {
		record.Action, record.Notes = actionVoid, err.Error()
		return errors.Join(err, log.Append(record))
	}
	return nil
}
