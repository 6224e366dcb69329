package reconciler

import (
	"errors"
	"strings"
	"time"
)

// BottleStatus is how a bottle is.
type BottleStatus struct {
	Slug    string `json:"slug"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`  // one word, for programs
	Message string `json:"message"` // for people; "" when all is well
	// Generation is a digest of the declaration, ObservedGeneration that of the one that the status is about. They
	// differ while a newer declaration waits for its pass; "" where it is not known.
	Generation         string `json:"generation,omitempty"`
	ObservedGeneration string `json:"observedGeneration,omitempty"`
	// Conditions are Ready, Reconciling and Stalled, in this order; only a running controller tells them.
	Conditions []Condition  `json:"conditions,omitempty"`
	Parts      []PartStatus `json:"parts"`
}

// Condition is one aspect of a bottle's status, in the sense of Kubernetes' API conventions.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"` // True, False or Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message,omitempty"`
	ObservedGeneration string    `json:"observedGeneration,omitempty"`
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

// StatusOf sums up a plan and, after it was carried out, the error of that.
func StatusOf(p BottlePlan, err error) BottleStatus {
	s := BottleStatus{Slug: p.Slug, Parts: p.Parts, Reason: ReasonReady, Generation: p.Generation, ObservedGeneration: p.Generation}
	if s.Parts == nil {
		s.Parts = []PartStatus{}
	}
	var causes []string
	for _, part := range p.Parts {
		if !part.Ready {
			s.Reason = ReasonNotReady
		}
		if part.Cause != "" {
			causes = append(causes, string(part.Role)+": "+part.Cause)
		}
	}
	for _, step := range p.Steps {
		if step.Part == "" && !step.Record && step.Cause != causeDirMissing { // which nobody has to know of
			causes = append(causes, step.Object+": "+step.Cause)
		}
	}
	s.Message = strings.Join(causes, "; ")
	switch {
	case errors.Is(err, ErrInvalid):
		s.Reason, s.Message = ReasonInvalid, err.Error()
	case err != nil:
		s.Reason, s.Message = ReasonFailed, err.Error()
	case p.Suspended && !p.Changes():
		s.Reason = ReasonSuspend
	case s.Reason == ReasonReady && p.Changes():
		s.Reason = ReasonDrifted
	}
	s.Ready = s.Reason == ReasonReady
	if p.Stale != nil && err == nil {
		s.Ready, s.Reason = false, ReasonInvalid
		s.Message = strings.Trim(p.Stale.Error()+"; "+s.Message, "; ")
	}
	if p.Held != "" {
		s.Reason, s.Message = ReasonHeld, "it is not declared any more, and is kept: "+p.Held
	}
	return s
}
