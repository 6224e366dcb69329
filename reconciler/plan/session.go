package plan

import (
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// sessions plans the containers of sessions (bottled run, bottled port-forward). As long as they are confined to the bottle they are neither repaired nor
// replaced. They are removed when their process has ended, or when the bottle does not run.
func (p *planner) sessions() {
	for _, c := range p.have.containers {
		if !c.Component().IsSession() {
			continue
		}
		cause := p.endSession(c)
		if cause != "" {
			p.add(removeStep(c, cause))
		} else {
			cause = p.sealSession(c)
		}
		p.plan.Components = append(p.plan.Components, componentStatus(c, true, cause))
	}
}

// endSession returns why a session must end; "" when it need not.
func (p *planner) endSession(c observe.ObservedContainer) string {
	switch {
	case p.want.Suspended:
		return causeSuspended
	case p.want.Cut && c.Component() == state.PortForward:
		return causeCut // a page of the agent in somebody's browser is a way out
	case c.Orphan:
		return "nobody is there for whom it runs"
	case p.remade[p.want.Networks[0].Name]:
		return "its network " + p.want.Networks[0].Name + " is created anew"
	}
	if drift := p.sessionDrift(c); len(drift.Recreate) > 0 {
		return "it is not confined to the bottle: " + fields(drift.Recreate)
	}
	return ""
}

// sealSession plans the disconnection of a session from networks that are not declared and returns the causes.
func (p *planner) sealSession(c observe.ObservedContainer) string {
	var causes []string
	step := func(action Action, a state.Attachment, cause string) {
		p.add(Step{Action: action, Component: c.Component(), Object: c.Name, Cause: cause, ContainerID: c.ID, Attachment: a})
		causes = append(causes, cause)
	}
	drift := p.sessionDrift(c)
	for _, e := range drift.Detach {
		step(Disconnect, state.Attachment{Network: e.Network}, "it is on network "+e.Network+", which is not declared")
	}
	for _, a := range drift.Reattach {
		step(Reconnect, a, "its alias on network "+a.Network+" is not as declared")
	}
	return strings.Join(causes, "; ")
}

// sessionDrift returns the drift of a session; none while it begins or ends, when its networks are in flux.
func (p *planner) sessionDrift(c observe.ObservedContainer) observe.Drift {
	if c.State != engine.StateRunning && c.State != engine.StatePaused {
		return observe.Drift{}
	}
	return observe.SessionDrift(p.want, c, p.networkIDs)
}
