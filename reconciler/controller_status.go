package reconciler

import "time"

// Status is the status of a controller and its bottles, as /v1/status serves it.
type Status struct {
	// Controller is nil where no controller runs: then the status was read from the engine.
	Controller *ControllerStatus `json:"controller,omitempty"`
	Bottles    []BottleStatus    `json:"bottles"`
	// Warnings list the guarantees that the engine or host does not enforce, each with the remedy (observe.Warnings).
	Warnings []string `json:"gaps,omitempty"`
}

// ControllerStatus is the status of the controller itself.
type ControllerStatus struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Owner   string    `json:"owner"`
	Sources []string  `json:"sources"` // directories and files, or the git repository
	// Revision of the manifests, like main@sha1:1f0c…; "" where the source has no revisions.
	Revision string `json:"revision,omitempty"`
	// SourceError explains why the source can't be read; meanwhile the bottles keep their last declaration. "" when it can.
	SourceError string `json:"sourceError,omitempty"`
	// Warnings explain why changes of the source are noticed late, each with the remedy.
	Warnings []string     `json:"warnings,omitempty"`
	Engine   EngineStatus `json:"engine"`
	// Syncs counts the full resyncs completed since the controller started.
	Syncs int64 `json:"syncs"`
	// Problems of the manifests.
	Problems []string `json:"problems,omitempty"`
	// Held names the bottles that the prune guard keeps though they are not declared; HeldReason is why.
	Held       []string `json:"held,omitempty"`
	HeldReason string   `json:"heldReason,omitempty"`
}

// EngineStatus reports whether the engine answers, and since when that has been so.
type EngineStatus struct {
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since"`
	Error     string    `json:"error,omitempty"`
}
