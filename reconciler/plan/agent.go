package plan

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// finished returns the status of an agent that has ended for good, and false while there is more for it to do. Nothing is done to a
// finished agent until its declaration changes or its restart is requested: it may have cost money, and it may have pushed code.
func (p *planner) finished(m state.Component, have *observe.ObservedContainer) (reconciler.ComponentStatus, bool) {
	runs := p.want.Runs.Of(state.DeclarationOf(m.Container))
	s := reconciler.ComponentStatus{Component: m.Name, Name: m.Container.Name, State: "missing", Image: m.Container.Image}
	if have == nil {
		runs = p.judgeMissing(m, runs)
	} else {
		if !m.Container.DeclaredLike(have.Labels) {
			return s, false
		}
		runs, s = p.judge(m, runs, *have), componentStatus(*have, false, "")
	}
	p.recordRuns(runs)
	if runs.Outcome == nil {
		return s, false
	}
	return withOutcome(s, *runs.Outcome), true
}

// judgeMissing judges an agent whose container is missing: it may have ended for good before somebody removed that.
func (p *planner) judgeMissing(m state.Component, runs state.AgentRuns) state.AgentRuns {
	again, asked := p.want.Restart[m.Name]
	if runs.Outcome != nil && (asked && again.Is(runs.Outcome.Run) || p.policy() == v1alpha1.RestartAlways) {
		return state.AgentRuns{Declaration: runs.Declaration}
	}
	return runs
}

// judge judges an agent's container. An ended run is the agent's outcome, or is followed by another one.
func (p *planner) judge(m state.Component, runs state.AgentRuns, have observe.ObservedContainer) state.AgentRuns {
	again, asked := p.want.Restart[m.Name]
	switch run := runOf(have); {
	case have.State != engine.StateExited:
		runs.Outcome = nil
	case asked && again.Is(run):
		return state.AgentRuns{Declaration: runs.Declaration}
	case !run.Is(runs.Interrupted):
		return p.judgeEnd(runs, have)
	}
	return runs
}

// judgeEnd records the end of a run: as the agent's outcome, or as a failure that is followed by a retry.
func (p *planner) judgeEnd(runs state.AgentRuns, have observe.ObservedContainer) state.AgentRuns {
	run := runOf(have)
	failed := have.ExitCode != 0 // whatever became of its children: OOMKilled is about any process of the container
	final := true
	switch policy := p.policy(); {
	case policy == v1alpha1.RestartAlways:
		final = false
	case policy == v1alpha1.RestartOnFailure && failed && isEndedFromOutside(have):
		final = false
	case policy == v1alpha1.RestartOnFailure && failed:
		if !run.Is(runs.Retried) {
			runs.Retries, runs.Retried = runs.Retries+1, run
		}
		final = runs.Retries > p.want.Declared.Spec.Agent.Retries()
	}
	runs.Outcome = nil
	if final {
		runs.Outcome = &state.Outcome{Run: run, Failed: failed, ExitCode: have.ExitCode, OOMKilled: have.OOMKilled, At: have.EndedAt}
	}
	return runs
}

func (p *planner) policy() v1alpha1.Restart { return p.want.Declared.Spec.Agent.RestartPolicy() }

// isRunOnce reports whether the component must not be run again, not even because it is unhealthy.
func (p *planner) isRunOnce(m state.Component) bool {
	return m.Name == state.Agent && p.policy() == v1alpha1.RestartNever
}

// isEndedFromOutside reports whether SIGTERM or SIGKILL ended a container, as a reboot, an update of the engine and docker stop do.
// These failures are retried without being counted.
func isEndedFromOutside(c observe.ObservedContainer) bool {
	const term, kill = 128 + 15, 128 + 9
	return !c.OOMKilled && (c.ExitCode == term || c.ExitCode == kill)
}

// interrupt records that the plan stops or removes a container, and may end a run of the agent: that end is no outcome. A removal begins
// with a stop, and a kill between the two leaves a container that has ended.
func (p *planner) interrupt(c observe.ObservedContainer) {
	if !isInterrupted(c) {
		return
	}
	p.recordRuns(state.AgentRuns{Declaration: p.want.Runs.Declaration, Interrupted: runOf(c)})
}

// isInterrupted reports whether to stop a container ends a run of an agent.
func isInterrupted(c observe.ObservedContainer) bool {
	return c.Component() == state.Agent && (c.State == engine.StateRunning || c.State == engine.StatePaused)
}

// recordRuns has the plan save what is known of the agent's runs before its steps are done, unless that is on record already.
func (p *planner) recordRuns(runs state.AgentRuns) {
	if !runs.Equal(p.want.Runs) {
		p.plan.Runs = &runs
	}
}

func runOf(c observe.ObservedContainer) state.Run {
	return state.Run{ContainerID: c.ID, StartedAt: c.StartedAt}
}

// withOutcome returns a component's status with the outcome of the agent.
func withOutcome(s reconciler.ComponentStatus, o state.Outcome) reconciler.ComponentStatus {
	s.Phase, s.Ended = reconciler.PhaseCompleted, &reconciler.Ending{ExitCode: o.ExitCode, OOMKilled: o.OOMKilled, At: o.At}
	if o.Failed {
		s.Phase, s.Cause = reconciler.PhaseFailed, fmt.Sprintf("it failed with exit code %d", o.ExitCode)
		if o.OOMKilled {
			s.Cause = "it failed: it was killed for exceeding its memory limit"
		}
	}
	return s
}
