package reconciler

import "github.com/bot-bottle/bottled/state"

const causeSuspended = "the bottle is suspended"

// suspend stops what runs, the last part first. Nothing is removed, and nothing is repaired before the bottle is resumed.
func (p *planner) suspend() {
	for _, m := range p.want.Members {
		status := PartStatus{Role: m.Part, Name: m.Container.Name, State: "missing", Image: m.Container.Image}
		for _, c := range p.have.containers {
			if c.Part() == m.Part {
				status = partStatus(c, false, p.stop(c))
			}
		}
		p.plan.Parts = append(p.plan.Parts, status)
	}
}

func (p *planner) stop(c state.ObservedContainer) (cause string) {
	step := Step{Stage: removeStage(c.Part()), Part: c.Part(), Object: c.Name, Cause: causeSuspended, containerID: c.ID}
	switch c.State {
	case state.StatePaused:
		unpause := step
		unpause.Action = Unpause
		p.add(unpause)
		fallthrough
	case state.StateRunning:
		step.Action = Stop
		p.add(step)
		return causeSuspended
	}
	return ""
}
