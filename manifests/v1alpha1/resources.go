package v1alpha1

import "github.com/bot-bottle/bottled/manifests/scalar"

// DefaultPids is how many processes and threads an agent may have that declares no number: enough for builds and browsers, and
// not enough to keep the host from starting any.
const DefaultPids = 2048

// MemoryBytes is the memory limit in bytes; 0 is none. It is meant for a valid bottle.
func (r Resources) MemoryBytes() int64 { return scalar.Quantity(r.Memory, 1) }

// NanoCPUs is the CPU limit in billionths of a CPU; 0 is none. It is meant for a valid bottle.
func (r Resources) NanoCPUs() int64 { return scalar.Quantity(r.CPUs, 1e9) }
