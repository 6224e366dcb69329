package reconciler

import (
	"errors"
	"strings"
)

// BottleStatus is how a bottle is.
type BottleStatus struct {
	Slug    string       `json:"slug"`
	Ready   bool         `json:"ready"`
	Reason  string       `json:"reason"`  // one word, for programs
	Message string       `json:"message"` // for people; "" when all is well
	Parts   []PartStatus `json:"parts"`
}

// The reasons.
const (
	ReasonReady    = "Ready"
	ReasonInvalid  = "InvalidManifest" // it runs as it was declared last
	ReasonFailed   = "Failed"          // it could not be made as declared
	ReasonNotReady = "NotReady"        // a part is missing or does not serve what it should
	ReasonDrifted  = "Drifted"         // everything serves, and something is not as declared
	ReasonHeld     = "NotDeclared"     // it is kept all the same; whether it is ready is told by its parts
)

// StatusOf sums up a plan and, after it was carried out, the error of that.
func StatusOf(p BottlePlan, err error) BottleStatus {
	s := BottleStatus{Slug: p.Slug, Parts: p.Parts, Reason: ReasonReady}
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
		if step.Part == "" && !step.Record {
			causes = append(causes, step.Object+": "+step.Cause)
		}
	}
	s.Message = strings.Join(causes, "; ")
	switch {
	case errors.Is(err, ErrInvalid):
		s.Reason, s.Message = ReasonInvalid, err.Error()
	case err != nil:
		s.Reason, s.Message = ReasonFailed, err.Error()
	case s.Reason == ReasonReady && p.Changes():
		s.Reason = ReasonDrifted
	}
	s.Ready = s.Reason == ReasonReady
	if p.Held != "" {
		s.Reason, s.Message = ReasonHeld, "it is not declared any more, and is kept: "+p.Held
	}
	return s
}
