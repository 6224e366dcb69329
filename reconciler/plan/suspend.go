package plan

import (
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

const (
	causeSuspended = "the bottle is suspended"
	causeCut       = "the bottle is cut off"
	causeRestart   = "its restart was requested"
)

// suspend plans the stop of what runs. Nothing is removed, and nothing is repaired before the bottle is resumed.
func (p *planner) suspend() {
	for _, m := range p.want.Components {
		status := reconciler.ComponentStatus{Component: m.Name, Name: m.Container.Name, State: "missing", Image: m.Container.Image}
		for _, c := range p.have.containers {
			if c.Component() == m.Name {
				status = componentStatus(c, false, p.stop(c))
				if o := p.want.Runs.Outcome; o != nil && o.Run.Is(runOf(c)) {
					status = withOutcome(status, *o)
				}
			}
		}
		p.plan.Components = append(p.plan.Components, status)
	}
}

// stop plans the stop of one container and returns the cause; "" when it does not run.
func (p *planner) stop(c observe.ObservedContainer) (cause string) {
	step := Step{Component: c.Component(), Object: c.Name, Cause: causeSuspended, ContainerID: c.ID, mounted: mountSources(c)}
	switch c.State {
	case engine.StatePaused:
		unpause := step
		unpause.Action, unpause.halts = Unpause, true
		p.add(unpause)
		fallthrough
	case engine.StateRunning:
		p.interrupt(c)
		step.Action, step.Grace = Stop, c.Container.StopTimeout()
		p.add(step)
		return causeSuspended
	}
	return ""
}
