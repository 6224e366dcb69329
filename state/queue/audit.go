package queue

import (
	"bytes"
	"encoding/json"
	"time"
)

// Record is one decision, as a line of the audit log (contract).
type Record struct {
	Time   time.Time `json:"time"`   // of the decision
	Bottle string    `json:"bottle"` // by the queue's directory, not by the agent's word
	Kind   string    `json:"kind"`   // decision
	Tool   Tool      `json:"tool"`
	// Action is the answer's status; or void for a decision that had no effect, since what it would have changed was another thing by then.
	Action        string `json:"action"`
	Who           string `json:"who"`
	Diff          string `json:"diff"` // unified diff of the changed file; "" for a decision that changes none
	Justification string `json:"justification"`
	Notes         string `json:"notes"`
	Proposal      string `json:"proposal"` // its ID
	// File is the manifest, or the Dockerfile, that the decision changes; Before and After are the SHA-256 of its content, in hex. Empty
	// for a decision that changes no file.
	File   string `json:"file,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// kindDecision is the kind of a decision about a proposal, as opposed to the sidecars' records.
const kindDecision = "decision"

// ActionVoid is the action of a decision that had no effect, see Record.
const ActionVoid = "void"

// NewRecord returns the record of a decision about a proposal, without Action, Diff and Notes. bottle is the one that the queue belongs to.
func NewRecord(bottle string, p Proposal, by string, at time.Time) Record {
	return Record{Time: at, Bottle: bottle, Kind: kindDecision, Tool: p.Tool, Who: by, Justification: p.Justification, Proposal: p.ID}
}

// Is reports whether a line of the audit log is this record.
func (r Record) Is(line []byte) bool {
	var other Record
	return bytes.Contains(line, []byte(r.Proposal)) && json.Unmarshal(line, &other) == nil && other.Kind == r.Kind &&
		other.Proposal == r.Proposal && other.Action == r.Action && other.Time.Equal(r.Time)
}
