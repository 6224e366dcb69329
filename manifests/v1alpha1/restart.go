package v1alpha1

// Restart is the restart policy of an agent, in Kubernetes' sense.
type Restart string

// The restart policies. Unset means onFailure.
const (
	RestartOnFailure Restart = "onFailure" // unless its exit code is 0, up to BackoffLimit times
	RestartNever     Restart = "never"     // any end is final
	RestartAlways    Restart = "always"    // no end is final: the agent is a service
)

// DefaultBackoffLimit is the number of retries of a failed agent that declares none.
const DefaultBackoffLimit = 5

// RestartPolicy returns the agent's restart policy.
func (a *Agent) RestartPolicy() Restart {
	if a == nil || a.Restart == "" {
		return RestartOnFailure
	}
	return a.Restart
}

// Retries returns how often the agent is started again after a failure.
func (a *Agent) Retries() int64 {
	if a == nil || a.BackoffLimit == nil {
		return DefaultBackoffLimit
	}
	return *a.BackoffLimit
}
