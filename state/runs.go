package state

import (
	"maps"
	"time"
)

// AgentRuns is what has to be known of the runs of a bottle's agent beyond what the engine knows. It is saved before the step that
// it is about. The zero value knows of nothing.
type AgentRuns struct {
	// Declaration is the agent's, by its DeclarationOf. Retries and Outcome are of this one only.
	Declaration string `json:"declaration"`
	// Interrupted is the run that bottled ended itself: its end is no outcome.
	Interrupted Run `json:"interrupted,omitzero"`
	// Retries counts the failed runs that were followed by another one, Retried being the last of them.
	Retries int64 `json:"retries,omitempty"`
	Retried Run   `json:"retried,omitzero"`
	// Outcome is how the agent ended for good; nil while it did not. It outlives the container, which people prune.
	Outcome *Outcome `json:"outcome,omitempty"`
}

// Outcome is the end of an agent's last run.
type Outcome struct {
	Run       Run       `json:"run"`
	Failed    bool      `json:"failed,omitempty"`
	ExitCode  int       `json:"exitCode"`
	OOMKilled bool      `json:"oomKilled,omitempty"`
	At        time.Time `json:"at"`
}

// Equal reports whether r and other know the same.
func (r AgentRuns) Equal(other AgentRuns) bool {
	if r.isEmpty() || other.isEmpty() {
		return r.isEmpty() && other.isEmpty()
	}
	outcome := r.Outcome == nil && other.Outcome == nil || r.Outcome != nil && other.Outcome != nil && r.Outcome.Run.Is(other.Outcome.Run)
	return r.Declaration == other.Declaration && outcome && r.Interrupted.Is(other.Interrupted) && r.Retries == other.Retries && r.Retried.Is(other.Retried)
}

func (r AgentRuns) isEmpty() bool {
	return r.Outcome == nil && r.Retries == 0 && r.Interrupted.Is(Run{}) && r.Retried.Is(Run{})
}

// Of returns what is known of the runs of a declaration.
func (r AgentRuns) Of(declaration string) AgentRuns {
	if r.Declaration == declaration {
		return r
	}
	return AgentRuns{Declaration: declaration, Interrupted: r.Interrupted}
}

// DeclarationOf returns the digest of an agent's declaration without LabelMounts: another directory at the source of a mount is no
// other task.
func DeclarationOf(c Container) string { return withLabelMounts(c, "").Hash() }

// DeclaredLike reports whether a container with these labels was created by the agent's declaration, apart from LabelMounts.
func (c Container) DeclaredLike(labels map[string]string) bool {
	return withLabelMounts(c, labels[LabelMounts]).Hash() == labels[LabelHash]
}

func withLabelMounts(c Container, held string) Container {
	c.Labels = maps.Clone(c.Labels)
	delete(c.Labels, LabelMounts)
	if held != "" {
		c.Labels[LabelMounts] = held
	}
	return c
}
