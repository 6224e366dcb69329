package reconciler

import (
	"errors"
	"time"

	"github.com/bot-bottle/bottled/state/queue"
)

// ErrNoProposal marks an ID that no proposal has.
var ErrNoProposal = errors.New("there is no proposal")

// ErrDecision marks a decision that can't be carried out as it is; the message says what to change.
var ErrDecision = errors.New("not decided")

// Proposal is what an agent asks a person for, and what became of it. The summary, the justification and the payload are the agent's words:
// printable, of limited size, and not to be believed.
type Proposal struct {
	ID            string        `json:"id"`
	Bottle        string        `json:"bottle"`
	Tool          queue.Tool    `json:"tool"`
	Asked         time.Time     `json:"asked"`
	Expires       time.Time     `json:"expires"`
	Summary       string        `json:"summary"` // what is asked for, in one line: "allow registry.npmjs.org:443"
	Justification string        `json:"justification"`
	State         ProposalState `json:"state"`
	// Message says what is being waited for, or what went wrong; "" while it waits for a person and nothing was tried.
	Message string `json:"message,omitempty"`
	// Decision is what was decided; nil while it waits for a person.
	Decision *Decision `json:"decision,omitempty"`
	// Own says that the one who decided has made it himself: no agent has asked.
	Own bool `json:"own,omitempty"`
}

// ProposalState is how far a proposal is.
type ProposalState string

// The states of a proposal.
const (
	ProposalWaiting  ProposalState = "waiting"  // for a person
	ProposalApplying ProposalState = "applying" // it is approved: the change is written, and the bottle converges
	ProposalMerging  ProposalState = "merging"  // it is approved: the change is on a branch, and waits to be merged
	ProposalAnswered ProposalState = "answered" // the agent has the answer, or finds it when it asks again
)

// Decision is a decision about a proposal.
type Decision struct {
	Status queue.Status `json:"status"` // approved, modified, rejected, expired or failed
	By     string       `json:"by"`
	Time   time.Time    `json:"time"`
	Notes  string       `json:"notes,omitempty"`
}

// Review is everything that a person needs to decide about a proposal.
type Review struct {
	Proposal
	Payload string `json:"payload"` // as the agent wrote it: a routes.json, a URL, a Dockerfile
	// Refused is what the bottle was refused in the ten minutes before it asked, the last first.
	Refused []RefusedRequest `json:"refused"`
	// File is the file that an approval changes, and Diff the unified diff of that change. Digest identifies the content that the diff
	// applies to; a decision names it, so that nobody approves what he has not seen.
	File   string `json:"file"`
	Digest string `json:"digest"`
	Diff   string `json:"diff"`
	// Patch is the change that waits to be merged, as git am takes it; "" for a proposal that does not wait for that.
	Patch string `json:"patch,omitempty"`
	// Edited is the content that the file would have.
	Edited string `json:"edited,omitempty"`
	// Plan is what the bottle's controller would do: one line for each component that is reloaded, restarted or replaced.
	Plan []string `json:"plan"`
	// Warnings are what is worth knowing: the host is allowed already, the name is an address, the address is private.
	Warnings []string `json:"warnings,omitempty"`
	// Dangers are why an approval needs AllowNewUpstream.
	Dangers []string `json:"dangers,omitempty"`
	// Blocked is why an approval can't write the change: a read-only directory, a manifest of another format. Diff is then to be
	// applied by hand. "" where it can.
	Blocked string `json:"blocked,omitempty"`
}

// RefusedRequest is a request that a sidecar refused.
type RefusedRequest struct {
	Time      time.Time `json:"time"`
	Component string    `json:"component"`
	Request   string    `json:"request"` // "CONNECT example.com:443"
	Reason    string    `json:"reason"`
	Count     int64     `json:"count"` // how often
}

// AllowRequest is what a person has a bottle reach without having been asked.
type AllowRequest struct {
	Host string `json:"host"` // with its port; without one, 443
	// For limits it in time; 0 for no limit.
	For time.Duration `json:"for,omitempty"`
	// Notes are recorded with it.
	Notes string `json:"notes,omitempty"`
}

// RollbackRequest has a bottle's agent built from the Dockerfile that it had before.
type RollbackRequest struct {
	// Digest is that of the review that the person saw; "" accepts whatever the file has now.
	Digest string `json:"digest,omitempty"`
	// Notes are recorded with it.
	Notes string `json:"notes,omitempty"`
}

// DecisionRequest is a person's decision about a proposal.
type DecisionRequest struct {
	Approve bool `json:"approve"` // or reject
	// Digest is that of the review that the person saw; "" accepts whatever the file has now. Only for approvals.
	Digest string `json:"digest,omitempty"`
	// Edited is what the whole file shall have instead of the proposed change; nil for the proposed change.
	Edited *string `json:"edited,omitempty"`
	// For limits an approved host in time; 0 for no limit.
	For time.Duration `json:"for,omitempty"`
	// Notes are passed on to the agent.
	Notes            string `json:"notes,omitempty"`
	AllowNewUpstream bool   `json:"allowNewUpstream,omitempty"`
	// Secret is the credential of a secret-request. It is written to the token's file and nowhere else.
	Secret string `json:"secret,omitempty"`
}
