package plan

import (
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// unrepairable says why the engine can't repair a container that otherwise could be kept, so that it is replaced; "" when it can.
func (p *planner) unrepairable(m state.Component, have observe.ObservedContainer, drift observe.Drift, changed map[string]bool) (string, []observe.Change) {
	can := p.engine
	action, cause := p.refresh(m, have, changed)
	attachments := len(drift.Attach) + len(drift.Reattach) + len(drift.Detach)
	switch {
	case !can.Reconnect && attachments > 0:
		return "its networks are not as declared", nil
	case !can.UpdateLimits && len(drift.Limits) > 0:
		return "its limits were changed: " + fields(drift.Limits), drift.Limits
	case !can.Unpause && have.State == engine.StatePaused:
		return "it is paused", nil
	case !can.Reload && action == Reload && (have.State == engine.StateRunning || have.State == engine.StatePaused):
		return cause, nil
	}
	return "", nil
}
