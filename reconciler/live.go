package reconciler

import "time"

// Live is what a running controller tells about itself and its bottles.
type Status struct {
	// Controller is nil where no controller runs and the engine itself was asked.
	Controller *ControllerStatus `json:"controller,omitempty"`
	Bottles    []BottleStatus    `json:"bottles"`
	// Gaps are what the engine can't keep closed, and what closes it (state.Gaps).
	Warnings []string `json:"gaps,omitempty"`
}

// ControllerStatus is how the controller itself is.
type ControllerStatus struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Owner   string    `json:"owner"`
	Sources []string  `json:"sources"` // directories and files, or the git repository
	// Revision is what the bottles are declared by, like main@sha1:1f0c…; "" where the source has none.
	Revision string `json:"revision,omitempty"`
	// SourceError says why the source can't be read; the bottles are kept as it declared them last.
	SourceError string `json:"sourceError,omitempty"`
	// Warnings say why changes of the source are noticed late, and what to do about it.
	Warnings []string     `json:"warnings,omitempty"`
	Engine   EngineStatus `json:"engine"`
	// Syncs counts the full resyncs completed since the controller started.
	Syncs int64 `json:"syncs"`
	// Problems are what is wrong in the manifests.
	Problems []string `json:"problems,omitempty"`
	// Held are bottles that are not declared any more and are kept all the same, and why.
	Held       []string `json:"held,omitempty"`
	HeldReason string   `json:"heldReason,omitempty"`
}

// EngineStatus is whether the engine answers.
type EngineStatus struct {
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since"`
	Error     string    `json:"error,omitempty"`
}
