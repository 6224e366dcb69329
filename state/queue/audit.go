package queue

import (
	"errors"
	"fmt"
	"time"
)

// Record is one decision, as a line of the audit log (contract).
type Record struct {
	Time   time.Time `json:"time"`
	Bottle string    `json:"bottle"` // by the queue's directory, not by the agent's word
	Kind   string    `json:"kind"`   // decision
	Tool   Tool      `json:"tool"`
	// Action is the answer's status; or void, which revokes the previous record of the same proposal: that decision came too late and had
	// no effect.
	Action        string `json:"action"`
	Who           string `json:"who"`
	Diff          string `json:"diff"` // unified diff of the bottle, as shown to the person who decided
	Justification string `json:"justification"`
	Notes         string `json:"notes"`
	Proposal      string `json:"proposal"` // its ID
	// File is the manifest, or the Dockerfile, that the decision changes; Before and After are the SHA-256 of its content, in hex. Empty
	// for a decision that changes no file.
	File   string `json:"file,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// kindDecision is the kind of a person's decision, as opposed to the sidecars' records.
const kindDecision = "decision"

// actionVoid revokes a decision, see Record.
const actionVoid = "void"

// AuditLog records decisions: a bottle's audit.Log. After Append returns nil the record survives a crash.
type AuditLog interface {
	Append(record any) error
}

// Decide answers a proposal on behalf of a person. It logs the decision before the agent can see it; if that fails, there is no decision.
// bottle is the name of the bottle that the queue belongs to; diff is what the person saw. It returns ErrAnswered if there is an answer
// already, and ErrGone if the proposal is not in the queue.
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
