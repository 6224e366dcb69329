package plan

import (
	"errors"
	"strings"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// StatusOf returns the status of a bottle by its plan and the error of its execution, if there was one.
func StatusOf(p BottlePlan, err error) reconciler.BottleStatus {
	s := reconciler.BottleStatus{Slug: p.Slug, Components: p.Components, Volumes: p.Volumes, Reason: reconciler.ReasonReady}
	s.Cut, s.Warnings = p.Cut, p.Warnings
	suspended := false
	if d := p.Desired; d != nil {
		s.Generation, s.ObservedGeneration, s.SpecHash, s.ObservedSpecHash = d.Generation, d.Generation, d.SpecHash, d.SpecHash
		suspended, s.Labels, s.HostsUntil = d.Suspended, d.Declared.Metadata.Labels, d.HostsUntil
	}
	if s.Components == nil {
		s.Components = []reconciler.ComponentStatus{}
	}
	var causes []string
	finished := ""
	for _, c := range p.Components {
		switch {
		case c.Phase == reconciler.PhaseCompleted:
			finished = reconciler.ReasonCompleted
		case c.Phase == reconciler.PhaseFailed:
			finished = reconciler.ReasonAgentFailed
		case !c.Ready:
			s.Reason = reconciler.ReasonNotReady
		}
		if c.Cause != "" {
			causes = append(causes, string(c.Component)+": "+c.Cause)
		}
	}
	for _, step := range p.Steps {
		if step.Component == "" && step.Cause != causeDirMissing { // a missing directory is no news
			causes = append(causes, step.Object+": "+step.Cause)
		}
	}
	s.Message = strings.Join(causes, "; ")
	switch {
	case errors.Is(err, reconciler.ErrInvalid):
		s.Reason, s.Message = reconciler.ReasonInvalid, err.Error()
	case errors.Is(err, state.ErrPending):
		s.Reason, s.Message = reconciler.ReasonNotReady, err.Error()
	case err != nil:
		s.Reason, s.Message = reconciler.ReasonFailed, err.Error()
	case suspended && !p.Changes():
		s.Reason = reconciler.ReasonSuspend
		if p.Desired.SuspendedByOperator {
			s.Message = "suspended by an operator, until its manifest changes or: bottled resume " + p.Slug
		}
	case s.Reason == reconciler.ReasonReady && p.Changes():
		s.Reason = reconciler.ReasonDrifted
	case s.Reason == reconciler.ReasonReady && finished != "":
		s.Reason = finished
	}
	s.Ready = s.Reason == reconciler.ReasonReady
	if p.Stale != nil && err == nil {
		s.Ready, s.Reason = false, reconciler.ReasonInvalid
		if errors.Is(p.Stale, state.ErrPending) {
			s.Reason = reconciler.ReasonNotReady
		}
		s.Message = strings.Trim(p.Stale.Error()+"; "+s.Message, "; ")
	}
	if p.Held != "" {
		s.Reason, s.Message = reconciler.ReasonHeld, "it is not declared any more, and is kept: "+p.Held
	}
	return s
}
