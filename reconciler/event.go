package reconciler

import (
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Event is something that happened to a bottle, with its cause. Events explain a status; what to do next never depends on them.
type Event struct {
	// ID grows with every event of an owner's controllers, over their restarts, too.
	ID     uint64    `json:"id"`
	Time   time.Time `json:"time"`
	Bottle string    `json:"bottle,omitempty"` // "" for an event of the controller itself
	// Component is "" for what concerns the whole bottle.
	Component state.ComponentName `json:"component,omitempty"`
	Type      string              `json:"type"`   // Normal or Warning
	Reason    string              `json:"reason"` // one word, for programs
	Message   string              `json:"message"`
	// Count is how often this happened in a row, the last time at Time; First is when it did so first.
	Count int       `json:"count"`
	First time.Time `json:"first"`
	// RetryAt is when a failed or crashed component is tried again; the zero time for other events.
	RetryAt time.Time `json:"retryAt,omitzero"`
}

// IsOfProposal reports whether an event is about a proposal. Its message may have an agent's words.
func (e Event) IsOfProposal() bool { return strings.HasPrefix(e.Reason, "Proposal") }

// The types of an event.
const (
	EventNormal  = "Normal"
	EventWarning = "Warning" // somebody may have to look after it
)

// The reasons of events.
const (
	EventDeclared         = "Declared"         // a manifest was read for the first time, or changed
	EventInputsChanged    = "InputsChanged"    // a token, CA bundle, environment file, mount or build context changed
	EventHostEnded        = "HostEnded"        // the time of a host of the allowlist is over
	EventDriftFound       = "DriftFound"       // something differs from an unchanged declaration
	EventEnding           = "Ending"           // a container is about to be stopped or removed
	EventStepDone         = "StepDone"         // a step of a plan, such as a reload
	EventFailed           = "Failed"           // steps of a plan; RetryAt is when they are tried again
	EventCrashed          = "Crashed"          // a component ends again and again; RetryAt is when it is started again
	EventConditionChanged = "ConditionChanged" // see Condition
	EventOrdered          = "Ordered"          // an operator restarts, suspends, cuts off or resumes the bottle
	EventProposalNew      = "ProposalNew"      // an agent asks for something
	EventProposalDecided  = "ProposalDecided"  // somebody, or a rule, has decided about a proposal
	EventProposalAnswered = "ProposalAnswered" // a decision is in force, and the agent has the answer
	EventProposalFailed   = "ProposalFailed"   // a decision could not be carried out; what it changed was taken back
	EventProposalVoid     = "ProposalVoid"     // a decision no longer fits the manifest; the proposal waits again
	EventRemoved          = "Removed"          // nothing is left of an undeclared bottle
	EventEngineLost       = "EngineLost"       // of the controller: the engine does not answer
	EventEngineFound      = "EngineFound"      // of the controller: the engine answers again
)
