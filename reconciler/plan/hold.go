package plan

import (
	"slices"

	"github.com/bot-bottle/bottled/state"
)

// Without returns the plan minus the steps of components in backoff; held maps each to its reason, "" stands for the whole bottle.
// Two kinds of steps are never held back: those that cut off what is not declared, and changes of limits.
func (p BottlePlan) Without(held map[state.ComponentName]string) BottlePlan {
	if len(held) == 0 {
		return p
	}
	waits := p.waiting(held)
	before := len(p.Steps)
	p.drop(func(s Step) bool { return s.heldBack() && (p.Remove || waits[""] || waits[s.Component]) })
	p.Partial = len(p.Steps) < before
	p.Components = slices.Clone(p.Components)
	for i := range p.Components {
		if why := held[p.Components[i].Component]; why != "" {
			p.Components[i].Cause = why
		}
	}
	return p
}

func (s *Step) heldBack() bool { return s.Action != Disconnect && s.Action != UpdateLimits }

// waiting returns the components in backoff and those that can't be created or started without them: without their image, or
// before one of them is ready.
func (p BottlePlan) waiting(held map[state.ComponentName]string) map[state.ComponentName]bool {
	waits := map[state.ComponentName]bool{}
	for c := range held {
		waits[c] = true
	}
	for i := range p.Steps { // in an order in which no step comes before what it waits for
		s := &p.Steps[i]
		if waits[s.Component] || s.Action != Create && s.Action != Start {
			continue
		}
		for j := range p.Steps[:i] {
			on := &p.Steps[j]
			needs := s.Action == Create && on.getsImage() && on.Object == s.Declared.Container.Image ||
				s.Action == Start && on.makesReady() && on.order < s.order
			if needs && waits[on.Component] {
				waits[s.Component] = true
			}
		}
	}
	return waits
}
