package reconciler

import (
	"errors"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// Healthy reports whether the bottle needs no attention: it is ready, its agent has completed, or it is suspended as declared. A
// bottle that is kept though it is not declared may be ready, and is not healthy.
func (b BottleStatus) Healthy() bool {
	return b.Reason == ReasonReady || b.Reason == ReasonCompleted || b.Reason == ReasonSuspend
}

// Agent returns the agent of the bottle; nil when it has none.
func (b BottleStatus) Agent() *ComponentStatus {
	for i := range b.Components {
		if b.Components[i].Component == state.Agent {
			return &b.Components[i]
		}
	}
	return nil
}

// Outdated says whether the status is not about the newest declaration, which waits for its pass.
func (b BottleStatus) Outdated() bool {
	return b.ObservedGeneration != 0 && b.Generation != b.ObservedGeneration
}

// Condition returns the condition of a type, nil when there is none.
func (b BottleStatus) Condition(kind string) *Condition {
	for i := range b.Conditions {
		if b.Conditions[i].Type == kind {
			return &b.Conditions[i]
		}
	}
	return nil
}

// IsTrue says whether the bottle has a condition and its status is True.
func (b BottleStatus) IsTrue(kind string) bool {
	c := b.Condition(kind)
	return c != nil && c.Status == "True"
}

// PortsMessage says which declared ports are not listened on, and why; "" when all are.
func (b BottleStatus) PortsMessage() string {
	var all []string
	for _, p := range b.Ports {
		if !p.Listening {
			all = append(all, p.Host+": "+p.Error)
		}
	}
	return strings.Join(all, "; ")
}

// Restarts is the sum of its components' restarts.
func (b BottleStatus) Restarts() int {
	n := 0
	for _, c := range b.Components {
		n += c.Restarts
	}
	return n
}

// Select returns the bottles with these names, in their order; all without any. The error names those that do not exist.
func (s Status) Select(names []string) ([]BottleStatus, error) {
	if len(names) == 0 {
		return s.Bottles, nil
	}
	var selected []BottleStatus
	var missing []error
	var known []string
	for _, b := range s.Bottles {
		known = append(known, b.Slug)
	}
	for _, name := range names {
		i := slices.IndexFunc(s.Bottles, func(b BottleStatus) bool { return b.Slug == name })
		if i < 0 {
			missing = append(missing, NoBottle(name, known))
			continue
		}
		selected = append(selected, s.Bottles[i])
	}
	return selected, errors.Join(missing...)
}
