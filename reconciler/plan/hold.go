package plan

import (
	"slices"

	"github.com/bot-bottle/bottled/state"
)

// without leaves out of a plan what concerns parts that are held back, by the reason: they failed or crashed a moment
// ago. "" holds back the whole bottle. Cutting off what is not declared is never held back, nor are limits.
func (p BottlePlan) Without(held map[state.ComponentName]string) BottlePlan {
	if len(held) == 0 {
		return p
	}
	waits := p.waiting(held)
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool {
		switch s.Action {
		case Disconnect, UpdateLimits:
			return false
		}
		return held[""] != "" || p.Remove || waits[s.Component] && s.Component != ""
	})
	p.Components = slices.Clone(p.Components)
	for i := range p.Components {
		if why := held[p.Components[i].Component]; why != "" {
			p.Components[i].Cause = why
		}
	}
	return p
}

// waiting are the parts that are held back, and those after them that would be started: a part starts when every one
// before it is ready.
func (p BottlePlan) waiting(held map[state.ComponentName]string) map[state.ComponentName]bool {
	waits := map[state.ComponentName]bool{}
	first := len(state.ComponentOrder)
	for part := range held {
		waits[part] = true
		if part != "" {
			first = min(first, part.Order())
		}
	}
	for _, s := range p.Steps {
		if s.Action == Start && s.Component.Order() > first {
			waits[s.Component] = true
		}
	}
	return waits
}
