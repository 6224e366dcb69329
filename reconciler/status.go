package reconciler

import (
	"errors"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// ErrInvalid marks a bottle with an invalid manifest. The bottle keeps running as last declared.
var ErrInvalid = errors.New("its manifest is invalid")

// BottleStatus is the observed status of a bottle.
type BottleStatus struct {
	Slug    string `json:"slug"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`  // one word, for programs
	Message string `json:"message"` // for people; "" when the bottle is ready
	// Labels are those of the manifest, metadata.labels.
	Labels map[string]string `json:"labels,omitempty"`
	// Generation of the newest declaration: it grows by one with each change of the spec. ObservedGeneration is the generation that
	// the status is about. They differ while a newer declaration waits for its pass. 0 when unknown.
	Generation         int64 `json:"generation,omitempty"`
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// SpecHash and ObservedSpecHash are the digests of the same two declarations; "" when unknown.
	SpecHash         string `json:"specHash,omitempty"`
	ObservedSpecHash string `json:"observedSpecHash,omitempty"`
	// RetryAt is when the first of the components in backoff is tried again; the zero time when none is.
	RetryAt time.Time `json:"retryAt,omitzero"`
	// HostsUntil is when the first of the hosts that are allowed now ends; the zero time when none will.
	HostsUntil time.Time `json:"hostsUntil,omitzero"`
	// Cut reports that an operator cut the bottle off: its sidecars have no way out.
	Cut bool `json:"cut,omitempty"`
	// Ports are those that the bottle declares, while they are served. Empty unless a running controller reports the status.
	Ports []PortStatus `json:"ports,omitempty"`
	// Volumes are those that the bottle declares.
	Volumes []VolumeStatus `json:"volumes,omitempty"`
	// Warnings are about what is as declared and hardly meant, each with the remedy. A bottle with warnings may be ready.
	Warnings []string `json:"warnings,omitempty"`
	// Traffic is nil when nothing was refused, and unless a running controller reports the status.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Proposals is nil while no proposal of the agent waits for a person, and unless a running controller reports the status.
	Proposals *WaitingProposals `json:"proposals,omitempty"`
	// StaleTokens are those whose commands fail, with the reasons; the condition TokenStale has them.
	StaleTokens []string `json:"-"`
	// Conditions are Ready, Reconciling and Stalled, in this order, then those of the others that are True. Empty unless a running
	// controller reports the status.
	Conditions []Condition       `json:"conditions,omitempty"`
	Components []ComponentStatus `json:"parts"`
}

// WaitingProposals counts the proposals of a bottle that wait for a person.
type WaitingProposals struct {
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest"` // when it was asked
}

// VolumeStatus is the status of a declared volume.
type VolumeStatus struct {
	Name     string `json:"name"`     // in the manifest
	Volume   string `json:"volume"`   // on the engine
	State    string `json:"state"`    // see VolumeInUse …
	Retained bool   `json:"retained"` // it stays when the bottle is removed
}

// The states of a volume.
const (
	VolumeInUse   = "in use"  // a container mounts it
	VolumeUnused  = "unused"  // it is declared, and no container mounts it
	VolumeMissing = "missing" // it is made with the container that mounts it
	VolumeOrphan  = "orphan"  // no bottle declares it, and no container mounts it
)

// Condition is one aspect of a bottle's status, in the sense of Kubernetes' API conventions.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"` // True, False or Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message,omitempty"`
	ObservedGeneration int64     `json:"observedGeneration,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// The conditions' types.
const (
	ConditionReady       = "Ready"       // every component runs and serves the declared configuration
	ConditionReconciling = "Reconciling" // a plan is being executed, or waits for a slot or the end of a backoff
	ConditionStalled     = "Stalled"     // it won't become ready without somebody's help, as far as the controller knows
	// These are listed only while they are True.
	ConditionCut                = "EgressCut"          // an operator cut the bottle off
	ConditionCredentialRejected = "CredentialRejected" //nolint:gosec // no credential: the one of a route does not work
	ConditionTokenStale         = "TokenStale"         // a command that prints a token fails; the last token is kept in use
	ConditionCompleted          = "AgentCompleted"     // its agent has ended, as it should
	ConditionFailed             = "AgentFailed"        // its agent has ended in failure, and is not started again
	ConditionPortUnavailable    = "PortUnavailable"    // a port that it declares can't be listened on
)

// The reasons of a bottle's status.
const (
	ReasonReady       = "Ready"
	ReasonInvalid     = "InvalidManifest" // it keeps running as last declared
	ReasonFailed      = "Failed"          // a step failed
	ReasonNotReady    = "NotReady"        // a component is missing or serves another configuration
	ReasonDrifted     = "Drifted"         // every component serves, but something is not as declared
	ReasonHeld        = "NotDeclared"     // undeclared, and the prune guard keeps it; the components show whether it runs
	ReasonSuspend     = "Suspended"       // stopped, as declared
	ReasonCompleted   = "Completed"       // its agent has ended, as it should
	ReasonAgentFailed = "AgentFailed"     // its agent has ended in failure, and is not started again
	// Reported by a running controller only.
	ReasonPending     = "Pending"           // not observed yet
	ReasonCrashing    = "CrashLooping"      // a component ends again and again
	ReasonUnreachable = "EngineUnreachable" // the engine does not answer, so the state is unknown
)

// PortStatus is the state of a port that a bottle declares.
type PortStatus struct {
	Container int64  `json:"container"`
	Host      string `json:"host"` // address and port
	Listening bool   `json:"listening"`
	Error     string `json:"error,omitempty"` // why it is not listening
}

// The phases of an agent.
const (
	PhaseRunning   = "Running"
	PhaseCompleted = "Completed" // it ended with exit code 0, and is not started again
	PhaseFailed    = "Failed"    // it failed, and is not started again
)

// Ending is the end of an agent's last run.
type Ending struct {
	ExitCode  int       `json:"exitCode"`
	OOMKilled bool      `json:"oomKilled,omitempty"`
	At        time.Time `json:"at"`
}

// ComponentStatus compares a component with its declaration.
type ComponentStatus struct {
	Component state.ComponentName `json:"role"`
	Name      string              `json:"name"`
	State     string              `json:"state"` // engine.StateRunning …, or "missing"
	Ready     bool                `json:"ready"`
	Image     string              `json:"image"`
	Cause     string              `json:"cause"` // why it is not ready or has drifted; "" otherwise
	// Config is the digest of the configuration that it reports to serve; "" for a component that does not report.
	Config string `json:"config,omitempty"`
	// Phase is of agents: Running, Completed or Failed; "" for other components, and while the agent is not running but will.
	Phase string `json:"phase,omitempty"`
	// Ended is how an agent ended that is Completed or Failed.
	Ended *Ending `json:"ended,omitempty"`
	// Restarts counts the starts after an end, since the controller started.
	Restarts int `json:"restarts,omitempty"`

	ID      string    `json:"-"` // of the container
	EndedAt time.Time `json:"-"` // end of its last run
}
