package reconciler

import (
	"errors"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// ErrInvalid marks a bottle with an invalid manifest. The bottle keeps running as last declared.
var ErrInvalid = errors.New("its manifest is invalid")

// BottleStatus is how a bottle is.
type BottleStatus struct {
	Slug    string `json:"slug"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`  // one word, for programs
	Message string `json:"message"` // for people; "" when all is well
	// Generation counts the declarations of the bottle: it grows by one with each change of its spec. ObservedGeneration is that of
	// the declaration that the status is about. They differ while a newer declaration waits for its pass; 0 where it is not known.
	Generation         int64 `json:"generation,omitempty"`
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// SpecHash and ObservedSpecHash are digests of the same two declarations; "" where they are not known.
	SpecHash         string `json:"specHash,omitempty"`
	ObservedSpecHash string `json:"observedSpecHash,omitempty"`
	// Conditions are Ready, Reconciling and Stalled, in this order; only a running controller tells them.
	Conditions []Condition       `json:"conditions,omitempty"`
	Components []ComponentStatus `json:"parts"`
}

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
	ConditionReady       = "Ready"       // every part runs and serves what is declared
	ConditionReconciling = "Reconciling" // work is under way or waits for its turn
	ConditionStalled     = "Stalled"     // it can't become ready without somebody's help, as far as the controller knows
)

// The reasons.
const (
	ReasonReady    = "Ready"
	ReasonInvalid  = "InvalidManifest" // it runs as it was declared last
	ReasonFailed   = "Failed"          // it could not be made as declared
	ReasonNotReady = "NotReady"        // a part is missing or does not serve what it should
	ReasonDrifted  = "Drifted"         // everything serves, and something is not as declared
	ReasonHeld     = "NotDeclared"     // it is kept all the same; whether it is ready is told by its parts
	ReasonSuspend  = "Suspended"       // it is stopped, as declared
	// Told by a controller only.
	ReasonPending     = "Pending"           // it was not looked at yet
	ReasonCrashing    = "CrashLooping"      // a part ends again and again
	ReasonUnreachable = "EngineUnreachable" // how it is can't be known
)

// PartStatus is how one part is now, compared with its declaration.
type ComponentStatus struct {
	Component state.ComponentName `json:"role"`
	Name      string              `json:"name"`
	State     string              `json:"state"` // the engine's word, or "missing"
	Ready     bool                `json:"ready"`
	Image     string              `json:"image"`
	Cause     string              `json:"cause"` // why it is not ready or not as declared; "" when all is well
	// Config is the digest of the configuration that it reports to serve; "" where the part does not report.
	Config string `json:"config,omitempty"`
	// Restarts counts how often the running controller started it again because it had ended.
	Restarts int `json:"restarts,omitempty"`

	ID      string    `json:"-"`
	EndedAt time.Time `json:"-"` // when its last run ended
}
